"""NVML: power, energy, clocks, heat and what holds the clock down, of one GPU by its UUID."""

from sparq_perf.measure.nvml.gpu import NvmlGpu
from sparq_perf.measure.nvml.opening import first_gpu_state, open_gpu

__all__ = ["NvmlGpu", "first_gpu_state", "open_gpu"]
