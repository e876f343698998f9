"""The passes of a run: each by itself on a group's KV cache, so that no instrument disturbs another's numbers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sparq_kernels import KVCache
from sparq_perf.measure.machine import Machine
from sparq_perf.measure.observing import Observer, Place, watch
from sparq_perf.measure.plan import Group
from sparq_perf.measure.progress import Progress
from sparq_perf.measure.resume import RunState
from sparq_perf.records.reading import Absence
from sparq_perf.records.schema import PassName, Subject

# append(kind, **fields): writes one line of the records.
Append = Callable[..., None]

NOT_WATCHED = Absence(
    kind="not_asked", detail="the suite does not ask for it here: it takes seconds, and few grids are marked as watched"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What passes work with, and where they leave what they found.

    Attributes:
        machine: what is measured.
        state: what the records hold already; kept up to date by `record`.
        progress: told what goes on.
        append: writes one line.
        seed: of queries, a different one in each pass.
    """

    machine: Machine
    state: RunState
    progress: Progress
    append: Append
    seed: int

    def record(self, name: PassName, kind: type[Subject], place: Place, fields: Mapping[str, Any]) -> None:
        """Write what a pass found of one contender."""
        self.append(kind, **identity(place), **fields)
        self.state.done[name].add(place.key)


def identity(place: Place) -> dict[str, Any]:
    """What each line about a contender begins with."""
    group, contender = place.group, place.contender
    return {
        "key": place.key,
        "model": group.model,
        "shape": group.shape,
        "config": contender.config,
        "cache_state": group.cache_state,
        "implementation": contender.implementation,
    }


class Pass(Protocol):
    """One pass over every contender."""

    @property
    def name(self) -> PassName:
        """As in the plan and on the command line."""

    def make(self, group: Group, cache: KVCache) -> None:
        """Over a group's contenders, on its cache, which is gone afterwards."""

    def finish(self) -> None:
        """What waits for all groups to be through."""


class ObserverPass:
    """Lets one instrument watch each contender in turn."""

    def __init__(self, name: PassName, observer: Observer, site: Site) -> None:
        self.name, self._observer, self._site = name, observer, site

    def make(self, group: Group, cache: KVCache) -> None:
        """Watch what the records do not have yet."""
        for place in self._site.state.lacking(self.name, group):
            why = self._refusal(group)
            fields = self._watch(place, cache) if why is None else self._observer.absent(why)
            if fields is not None:
                self._site.record(self.name, self._observer.line, place, fields)

    def finish(self) -> None:
        """Nothing waits."""

    def _refusal(self, group: Group) -> Absence | None:
        return self._observer.refusal() or (NOT_WATCHED if self._observer.on_request and not group.watched else None)

    def _watch(self, place: Place, cache: KVCache) -> Mapping[str, Any] | None:
        replayed = self._observer.loop.replayed
        calls = self._site.machine.calls(cache, place, self._site.seed, replayed=replayed)
        return watch(self._observer, place, calls)


def places(groups: Iterable[Group]) -> list[Place]:
    """Every contender of some groups."""
    return [Place(group, contender) for group in groups for contender in group.contenders]
