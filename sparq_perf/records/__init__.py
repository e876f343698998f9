"""Records: what a run writes down, line by line."""
