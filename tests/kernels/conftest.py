import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sparq_kernels import IMPLEMENTATIONS, KVCache
from sparq_kernels.reference import SparqSteps
from sparq_profiles import ConfigError, SparqConfig

# Largest error allowed against the float64 reference, relative to the largest value.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
# Where the tests that run over all implementations have their caches: `make gpu-test` sets it to cuda.
DEVICE = os.environ.get("SPARQ_PERF_TEST_DEVICE", "cpu")
# Those that keep rules which torch.topk does not promise: ties to the lower index, NaN that steers nothing.
EXACT = ["sparq-cpu", "sparq-triton"]
if DEVICE == "cpu":
    # Triton's interpreter runs the Triton kernels.
    HERE = [name for name, entry in IMPLEMENTATIONS.items() if "cpu" in entry.devices or entry.interpretable]
    NATIVE = [name for name in HERE if "cpu" in IMPLEMENTATIONS[name].devices]
else:
    # torch's single backends refuse much of what is asked here.
    HERE = NATIVE = ["dense-triton", "dense-sdpa", "sparq-triton", "sparq-torch"]
    EXACT = EXACT[1:]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`dense_name` and `sparse_name` run over every implementation, `dense_native`, `sparse_native` over the fast."""
    for fixture, sparse, names in (
        ("dense_name", False, HERE),
        ("sparse_name", True, HERE),
        ("dense_native", False, NATIVE),
        ("sparse_native", True, NATIVE),
        ("sparse_exact", True, EXACT),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, [name for name in names if IMPLEMENTATIONS[name].sparse == sparse])


@pytest.fixture(autouse=DEVICE != "cpu")
def on_the_device(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Where the device is another than the CPU: caches are built there, and queries and outputs go there and back.

    So tests written for tensors on the CPU check a device's kernels. Tests of a device's own are in gpu/.
    """
    if "decode" not in vars(request.module) or request.path.parent.name == "gpu":
        return
    build, append, decode = KVCache.from_tensors, KVCache.append, request.module.decode

    def there(tensors: Any) -> list[Tensor]:
        return [tensor.to(DEVICE) for tensor in tensors]

    monkeypatch.setattr(KVCache, "from_tensors", lambda k, v, **settings: build(*there((k, v)), **settings))
    monkeypatch.setattr(KVCache, "append", lambda cache, k, v, **by: append(cache, *there((k, v)), **by))
    monkeypatch.setattr(
        request.module,
        "decode",
        lambda q, cache, *settings, **by: decode(*there((q,)), cache, *settings, **by).to(q.device),
    )


@pytest.fixture(scope="session")
def tolerance() -> dict[torch.dtype, float]:
    """The one table of type → tolerance."""
    return TOLERANCE


@pytest.fixture(scope="session")
def assert_close() -> Callable[..., None]:
    """assert_close(y, expected): finite, of one shape, and within the tolerance of y's type."""

    def _assert_close(y: Tensor, expected: Tensor, *, tolerance: float | None = None) -> None:
        assert y.shape == expected.shape
        assert bool(y.isfinite().all())
        allowed = TOLERANCE[y.dtype] if tolerance is None else tolerance
        if y.numel():
            error = float((y.double() - expected.double()).abs().max())
            assert error <= allowed * max(1.0, float(expected.abs().max()))

    return _assert_close


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., Any]:
    """make_inputs(batch, n_kv_heads, group, seq_len, head_dim, seed) → q, k, v of one type.

    Queries are heavy-tailed as real ones are: a few channels carry most of Σ|q|.
    """

    def _make(
        batch: int,
        n_kv_heads: int,
        group: int,
        seq_len: int,
        head_dim: int,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> SimpleNamespace:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        q = normal(batch, n_kv_heads * group, head_dim) * (0.4 * normal(1, 1, head_dim)).exp()
        k, v = (normal(batch, n_kv_heads, seq_len, head_dim) for _ in range(2))
        v += normal(batch, n_kv_heads, 1, head_dim)  # a mean that matters
        return SimpleNamespace(q=q.to(dtype), k=k.to(dtype), v=v.to(dtype))

    return _make


@pytest.fixture(scope="session")
def decided() -> Callable[[Tensor, SparqSteps, SparqConfig, float], Tensor]:
    """Bool [batch, n_heads]: whether float32 must choose the same channels and positions as float64.

    It need not where the last one in and the first one out differ by less than ``margin``.
    """

    def gap(values: Tensor, chosen: Tensor) -> Tensor:
        """Smallest chosen value less the largest of the others; inf where nothing is left out."""
        lowest = values.masked_fill(~chosen, float("inf")).amin(-1)
        return lowest - values.masked_fill(chosen, float("-inf")).amax(-1)

    def _decided(q: Tensor, steps: SparqSteps, config: SparqConfig, margin: float) -> Tensor:
        batch, n_kv_heads, group, _ = steps.scores.shape
        magnitude = q.double().reshape(batch, n_kv_heads, group, -1).abs().sum(2)
        used = torch.zeros_like(magnitude, dtype=torch.bool).scatter(-1, steps.channels, True)
        clear = gap(magnitude, used) > margin
        valid = steps.scores[:, :, 0] > float("-inf")
        if config.group_score == "softmax":
            shared = steps.scores.softmax(-1).nan_to_num(0.0).sum(2)
            shared = shared / shared.amax(-1, keepdim=True).clamp(min=1e-300)
        else:
            shared = steps.scores.sum(2)
        if config.local_window:
            shared[..., -config.local_window :] = float("inf")
        shared = shared.masked_fill(~valid, float("-inf"))
        difference = gap(shared, steps.selected)
        # Fewer valid positions than top_k: all of them, or none, are selected.
        clear &= (difference > margin) | difference.isnan() | (steps.selected == valid).all(-1)
        return clear.repeat_interleave(group, dim=1)

    return _decided


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The message of the ConfigError that call(*args, **kwargs) must raise; it must be one line."""

    def _refusal(call: Callable[..., object], *args: Any, **kwargs: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            call(*args, **kwargs)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    return _refusal
