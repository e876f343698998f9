"""What contenders share, so that their numbers compare: geometry, batch, sequence length and cache state."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sparq_perf.records.schema import Line, Subject
from sparq_perf.report.settings import Geometry
from sparq_perf.report.wording import tokens
from sparq_profiles.shape import SparqConfig
from sparq_profiles.suite import CacheState

S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True)
class Setup:
    """A workload without SparQ's settings: the page's choosers offer these."""

    geometry: Geometry
    cache_state: CacheState
    batch: int
    seq_len: int

    @classmethod
    def of(cls, subject: Subject) -> "Setup":
        """The setup that a line is about."""
        geometry = Geometry.of(subject.model, subject.shape)
        return cls(geometry, subject.cache_state, subject.shape.batch, subject.shape.seq_len)

    @property
    def name(self) -> str:
        """In a line, for a chooser."""
        place = f"batch {self.batch}, {tokens(self.seq_len)} tokens, {self.cache_state}"
        return f"{self.geometry.model}, {place} ({self.geometry.heads})"

    @property
    def order(self) -> tuple[object, ...]:
        """Sort key: the most data first, for it is the one shown when the page opens."""
        elements = self.batch * self.seq_len * self.geometry.n_kv_heads * self.geometry.head_dim
        return (-elements, self.geometry, self.cache_state, self.batch)


def by_setup(subjects: Iterable[S], names: Mapping[SparqConfig | None, str]) -> list[tuple[Setup, list[S]]]:
    """Lines by setup, the largest first; within it dense before SparQ, then by setting and implementation."""
    groups: dict[Setup, list[S]] = defaultdict(list)
    for subject in subjects:
        groups[Setup.of(subject)].append(subject)
    for members in groups.values():
        members.sort(key=lambda s: (*_settings_order(s.config), names[s.config], s.implementation))
    return sorted(groups.items(), key=lambda item: item[0].order)


def _settings_order(config: SparqConfig | None) -> tuple[int, int]:
    return (config.rank, config.top_k) if config else (0, 0)


def contender(subject: Subject, names: Mapping[SparqConfig | None, str]) -> str:
    """Implementation and settings: what tells the members of a setup apart."""
    return f"{subject.implementation}, {names[subject.config]}" if subject.config else subject.implementation


def latest(lines: Iterable[Line], kind: type[S]) -> dict[str, S]:
    """The newest line of one kind about each workload and implementation, in the order first written."""
    return {line.key: line for line in lines if isinstance(line, kind)}
