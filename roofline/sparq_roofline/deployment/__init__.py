"""What a whole model costs on a machine: memory, time of a decode step, GPUs, money and energy. No torch."""
