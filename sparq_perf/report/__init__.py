"""A run's records as one self-contained HTML page.

`view` turns record lines into plain data that says everything the page says, `charts` turns that into plotly
figures, `render` into a file. Importing `view` needs neither plotly nor jinja2.
"""
