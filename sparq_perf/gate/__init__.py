"""The gate: whether a change made SparQ slower, hungrier or less predictable, and whether that could be told at all."""
