"""What held the clock down while configurations were timed, and what that cost in samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparq_perf.records.schema import Measurement
from sparq_perf.report.wording import count, listed, percent


@dataclass(frozen=True, slots=True)
class Throttled:
    """One measurement's throttling.

    Attributes:
        n_discarded: samples left out for it.
        causes: what held the clock down, with the share of the rounds that saw it, the largest first.
    """

    n_discarded: int
    causes: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, m: Measurement) -> "Throttled | None":
        """None where nothing held the clock down."""
        seen = {name: share for name, share in m.slowdowns.items() if share > 0}
        return cls(m.n_throttled, _largest_first(seen)) if m.n_throttled or seen else None

    @property
    def short(self) -> str:
        """What it cost, for a cell."""
        return f"{count(self.n_discarded, 'sample')} left out" if self.n_discarded else "no sample left out"

    @property
    def words(self) -> str:
        """All of it, for a title."""
        causes = [f"{name} held the clock down in {percent(share)} of the rounds" for name, share in self.causes]
        return "; ".join((*causes, self.short))


def throttling_caution(measurements: list[Measurement]) -> str | None:
    """One sentence for all configurations that were throttled; None where none was."""
    throttled = [found for m in measurements if (found := Throttled.of(m)) is not None]
    if not throttled:
        return None
    worst: dict[str, float] = {}
    for name, share in (cause for found in throttled for cause in found.causes):
        worst[name] = max(share, worst.get(name, 0.0))
    causes = listed(f"{name} in up to {percent(share)} of the rounds" for name, share in _largest_first(worst))
    discarded = sum(found.n_discarded for found in throttled)
    left_out = f"{count(discarded, 'sample')} of such rounds {'was' if discarded == 1 else 'were'} left out"
    return (
        f"The clock was held down while {count(len(throttled), 'configuration')} of {len(measurements):,} "
        f"{'was' if len(throttled) == 1 else 'were'} timed{f' ({causes})' if causes else ''}: "
        f"{left_out if discarded else 'no sample was left out'}. The table of configurations flags them."
    )


def _largest_first(shares: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
