"""Parts that the compiled CPU kernels share."""
