"""Time of kernels by the named range that launched them, from a trace of torch.profiler.

torch's own tables give a kernel to the torch operation around its launch, and so lose kernels that were launched
without one, as Triton's are. The trace has what it takes: each kernel and the call that launched it carry one
correlation number, and that call lies inside the ranges of its thread. Where a call was not recorded, or clocks put it
beside its range, the device's own annotations decide.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DEVICE_WORK = ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCHES = ("cuda_runtime", "cuda_driver")
MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class _Range:
    name: str
    place: tuple[Any, Any]  # process and thread, or device and stream
    start: float
    end: float

    def holds(self, event: Mapping[str, Any], place: tuple[Any, Any]) -> bool:
        return self.place == place and self.start <= event["ts"] <= self.end


def times_in_ranges(trace: Mapping[str, Any], prefixes: tuple[str, ...]) -> dict[str, float]:
    """Seconds of device work launched within each range, and within none of its inner ranges of the same prefix.

    Args:
        trace: what `torch.profiler.profile.export_chrome_trace` wrote.
        prefixes: beginnings of the ranges' names, such as ``sparq::``; work counts once for each prefix.
    """
    events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    launches = {_correlation(event): event for event in events if event.get("cat") in LAUNCHES}
    launches.pop(None, None)
    on_host = _ranges(events, "user_annotation")
    on_device = _ranges(events, "gpu_user_annotation")
    times: defaultdict[str, float] = defaultdict(float)
    for event in events:
        if event.get("cat") not in DEVICE_WORK:
            continue
        launch = launches.get(_correlation(event))
        for prefix in prefixes:
            name = _innermost(on_host, launch, prefix) or _innermost(on_device, event, prefix)
            if name is not None:
                times[name] += event["dur"] * MICRO
    return dict(times)


def _innermost(ranges: Iterable[_Range], event: Mapping[str, Any] | None, prefix: str) -> str | None:
    if event is None:
        return None
    place = (event.get("pid"), event.get("tid"))
    holding = [one for one in ranges if one.name.startswith(prefix) and one.holds(event, place)]
    return max(holding, key=lambda one: one.start).name if holding else None


def _ranges(events: Iterable[Mapping[str, Any]], category: str) -> list[_Range]:
    return [
        _Range(event["name"], (event.get("pid"), event.get("tid")), event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("cat") == category
    ]


def _correlation(event: Mapping[str, Any]) -> Any:
    return event.get("args", {}).get("correlation")
