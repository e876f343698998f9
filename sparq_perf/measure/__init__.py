"""Measurement: ceilings, calibration, timing, profiling and correctness, each a pass of its own."""
