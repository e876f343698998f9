"""Bytes that decode calls move to and from a GPU's memory, by the first way of counting that works.

    ncu      Nsight Compute around a child process: reads and writes of each kernel
    cupti    PM sampling through cupti-python, in this process: reads and writes of each call
    gpm      NVML's GPU performance monitoring, Hopper and later: the total of many calls

They exclude each other and torch.profiler: the counters have one user at a time.
"""

from sparq_perf.measure.dram.ladder import DramLadder, cpu_rungs
from sparq_perf.measure.dram.subjects import DramSubject

__all__ = ["DramLadder", "DramSubject", "cpu_rungs"]
