"""Dense decode for CPUs, compiled with numba."""
