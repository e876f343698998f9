"""Dense decode for GPUs, in Triton."""
