"""What the compilers make of every Triton kernel, for each architecture, found without a GPU."""
