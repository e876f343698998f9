"""The counters pass: DRAM bytes of the contenders that a suite has watched, after everything else.

One child process under a profiler serves them all, for its start costs more than its counting, and nothing of this
process may be attached to the device's counters meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sparq_kernels import KVCache
from sparq_perf.measure.dram import DramLadder, DramSubject
from sparq_perf.measure.inputs import build_cache
from sparq_perf.measure.observing import Calls, Place
from sparq_perf.measure.passes import NOT_WATCHED, Site
from sparq_perf.measure.plan import Group
from sparq_perf.records.dram import RUNGS, DramReading, Rung
from sparq_perf.records.schema import Dram, PassName

NOT_ASKED = tuple(Rung(name=name, absence=NOT_WATCHED) for name in RUNGS)


class DramPass:
    """Collects watched contenders, and counts their bytes in the end.

    Args:
        site: where records go.
        ladder: the ways of counting on this device; or, where there are none, what each says.
    """

    name: PassName = "counters"

    def __init__(self, site: Site, ladder: DramLadder | tuple[Rung, ...]) -> None:
        self._site, self._ladder = site, ladder
        self._waiting: dict[str, Place] = {}

    def make(self, group: Group, cache: KVCache) -> None:
        """Note what is to be counted; record why the rest is not."""
        for place in self._site.state.lacking(self.name, group):
            if isinstance(self._ladder, DramLadder) and group.watched:
                self._waiting[place.key] = place
                continue
            rungs = self._ladder if isinstance(self._ladder, tuple) else NOT_ASKED
            self._site.record(self.name, Dram, place, {"dram": DramReading.missing(rungs)})

    def finish(self) -> None:
        """Count."""
        if not self._waiting or not isinstance(self._ladder, DramLadder):
            return
        self._site.progress.stage(f"DRAM bytes of {len(self._waiting)} watched configurations")
        self._site.machine.release()
        subjects = [_subject(place) for place in self._waiting.values()]
        for subject, reading in self._ladder.measure(subjects, self._open_calls):
            self._site.record(self.name, Dram, self._waiting[subject.key], {"dram": reading})
        self._waiting = {}

    @contextmanager
    def _open_calls(self, subject: DramSubject) -> Iterator[Calls]:
        """Calls in this process, for the ways of counting that watch it."""
        machine, place = self._site.machine, self._waiting[subject.key]
        cache = build_cache(subject.shape, subject.k_layout, self._site.seed, machine.device)
        try:
            yield machine.calls(cache, place, self._site.seed, replayed=True)
        finally:
            del cache
            machine.release()


def _subject(place: Place) -> DramSubject:
    group, contender = place.group, place.contender
    return DramSubject(
        key=place.key,
        shape=group.shape,
        config=contender.config,
        k_layout=group.k_layout,
        cache_state=group.cache_state,
        implementation=contender.implementation,
    )
