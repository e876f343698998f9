"""Fidelity records as one page: what each setting loses beside what it moves and how fast it is, and which to take.

`joining` sets speeds and bytes beside settings, `verdict` words the recommendations, `view` holds everything that the
page says as plain data, `charts` and `heatmaps` draw it, `render` makes the file.
"""
