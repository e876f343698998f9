"""Whole-model speedups that the SparQ authors published, predicted from the hardware's bandwidth alone.

Nothing here is fitted to SparQ's times: the EPYC profile's bandwidth is what the published *dense* runs read at, its
gather efficiency was measured on another CPU.
"""

import pytest

from sparq_profiles import SparqConfig, load_hardware, load_model
from sparq_roofline.deployment.formats import KV, WEIGHTS
from sparq_roofline.deployment.served import Served
from sparq_roofline.deployment.sharding import shard
from sparq_roofline.deployment.step_time import Comparison, compare, step_time

# llama.cpp on EPYC, Llama 2 7B, 8-bit weights, 16-bit KV cache, batch 1, transfers 1/8: S, speedup of the step.
LLAMA_CPP = [(4096, 1.14), (8192, 1.26), (16384, 1.57), (32768, 1.73), (65536, 2.06), (131072, 2.54)]
# Seconds of one dense and one SparQ step in the published logs, means over 50 runs.
LOGGED_S = {4096: (0.0540, 0.0475), 131072: (0.4269, 0.1677)}
# gpt-fast on an H100 PCIe, Llama 2 7B in bf16, PyTorch without a fused kernel.
GPT_FAST = [(4096, 0.99), (8192, 1.09), (16384, 1.31), (32768, 1.68), (45000, 1.88)]


def compared(hardware: str, weights: str, seq_len: int) -> Comparison:
    """The authors' settings at 1/8: r = d/12, k = S/12, without step 3."""
    model = load_model("llama-2-7b")
    served, held = Served(model, WEIGHTS[weights], KV["float16"]), shard(model, 1)
    config = SparqConfig(128 // 12, seq_len // 12, mean_value=False)
    profile = load_hardware(hardware)
    return compare(*(step_time(profile, served, held, 1, seq_len, which) for which in (None, config)))


@pytest.mark.parametrize(("seq_len", "published"), LLAMA_CPP)
def test_llama_cpp_on_epyc(seq_len: int, published: float) -> None:
    found = compared("epyc-9004-32t", "q8_0", seq_len).step_speedup
    assert float(found.lower) <= published <= float(found.upper)
    # The interval is wide, since gathers on a CPU are; the expected value is not far off.
    assert float(found.expected) == pytest.approx(published, rel=0.06)


@pytest.mark.parametrize("seq_len", LOGGED_S)
def test_llama_cpp_times(seq_len: int) -> None:
    found = compared("epyc-9004-32t", "q8_0", seq_len)
    for time, logged_s in zip((found.dense.total, found.sparq.total), LOGGED_S[seq_len], strict=True):
        assert float(time.lower) <= logged_s <= float(time.upper)
        assert float(time.expected) == pytest.approx(logged_s, rel=0.06)


@pytest.mark.parametrize(("seq_len", "published"), GPT_FAST)
def test_gpt_fast_on_h100(seq_len: int, published: float) -> None:
    """An unfused pipeline gains less than the minimum of traffic allows, by a tenth at most."""
    found = compared("h100-pcie-80gb", "bfloat16", seq_len).step_speedup
    assert published < float(found.expected) < published * 1.1
    if seq_len >= 16384:
        assert float(found.lower) <= published <= float(found.upper)
