"""A suite laid out as groups: everything that is timed together, on one KV cache."""

from dataclasses import dataclass, replace

from sparq_kernels import find_implementation
from sparq_kernels.registry import IMPLEMENTATIONS
from sparq_perf.measure.contenders import Contender
from sparq_profiles import AttentionShape, ConfigError, load_model
from sparq_profiles.shape import KLayout
from sparq_profiles.suite import CacheState, Suite

# torch's device types, in the words of suites.
DEVICE_KINDS = {"cpu": "cpu", "cuda": "gpu"}


@dataclass(frozen=True, slots=True)
class Group:
    """One cache, in one state, with the contenders that share its rounds.

    Attributes:
        model: label of the head geometry.
        contenders: dense first, then SparQ's settings by implementation.
        watched: a grid of the suite asks for its energy and DRAM bytes.
    """

    model: str
    shape: AttentionShape
    cache_state: CacheState
    k_layout: KLayout
    contenders: tuple[Contender, ...]
    watched: bool = False

    def key(self, contender: Contender) -> str:
        """Identifies one measurement; the same in every run of the same suite."""
        s, c = self.shape, contender.config
        settings = "dense"
        if c is not None:
            mean = "mean" if c.mean_value else "nomean"
            settings = f"r{c.rank}-k{c.top_k}-l{c.local_window}-{mean}-{c.group_score}"
        return "/".join(
            (
                self.model,
                f"B{s.batch}-S{s.seq_len}-h{s.n_heads}x{s.n_kv_heads}x{s.head_dim}-{s.dtype}",
                self.cache_state,
                self.k_layout,
                settings,
                contender.implementation,
            )
        )

    def keeping(self, contenders: tuple[Contender, ...]) -> "Group":
        """The same group with some of its contenders."""
        return replace(self, contenders=contenders)


def plan(suite: Suite, device: str, only: tuple[str, ...] = ()) -> list[Group]:
    """Groups of a suite on one type of device, in the suite's order.

    Args:
        suite: what to measure.
        device: ``cpu`` or ``cuda``.
        only: implementations to keep; all that run on the device where empty.

    Raises:
        ConfigError: an implementation that does not exist or not run here, or a suite with nothing to measure.
    """
    if suite.device not in ("any", DEVICE_KINDS[device]):
        raise ConfigError(f"suite {suite.name} is made for a {suite.device}, this run measures a {device}")
    for name in only:
        refusal = find_implementation(name).refusal(suite.dtype, device)
        if refusal:
            raise ConfigError(f"implementation {name!r} {refusal}; suite {suite.name} is {suite.dtype} on {device}")
    usable = [
        entry
        for entry in IMPLEMENTATIONS.values()
        if entry.refusal(suite.dtype, device) is None and (not only or entry.name in only)
    ]
    groups: dict[tuple[str, AttentionShape, CacheState, KLayout], dict[Contender, None]] = {}
    watched = set()
    for workload, grid in suite.workloads(load_model):
        assert workload.config is not None
        chosen = [entry for entry in usable if not grid.implementations or entry.name in grid.implementations]
        place = (workload.model, workload.shape, workload.cache_state, workload.config.k_layout)
        contenders = groups.setdefault(place, {})
        if grid.watched:
            watched.add(place)
        for entry in chosen:
            if not entry.sparse:
                contenders.setdefault(Contender(entry.name, None))
        for entry in chosen:
            if entry.sparse:
                contenders.setdefault(Contender(entry.name, workload.config))
    planned = [
        Group(*place, tuple(_dense_first(contenders)), watched=place in watched)
        for place, contenders in groups.items()
        if contenders
    ]
    if not planned:
        raise ConfigError(f"suite {suite.name}: nothing to measure on {device}: no implementation fits")
    return planned


def _dense_first(contenders: dict[Contender, None]) -> list[Contender]:
    return sorted(contenders, key=lambda contender: contender.config is not None)
