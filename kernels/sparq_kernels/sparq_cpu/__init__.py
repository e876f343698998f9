"""SparQ decode for CPUs, compiled with numba."""
