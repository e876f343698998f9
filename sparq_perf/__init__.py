"""Measure, record, compare and report what SparQ Attention buys."""

__version__ = "0.1.0"
