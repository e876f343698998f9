"""Measuring two revisions in turn on this machine: trees, processes, pairs, and going on after a kill."""
