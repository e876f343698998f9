"""What can be known of every kernel without a clock or a GPU, held against what was accepted before."""
