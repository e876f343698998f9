"""SparQ decode for GPUs, in Triton."""
