"""torch.profiler, attached from start to stop."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from sparq_perf.measure.traced_calls import TracedCall


class Tracer:
    """Records what happens between `start` and `stop`.

    Args:
        activities: of the host, of the device, or both.
        wait: until the device has done all that is queued.
    """

    def __init__(self, activities: Sequence[ProfilerActivity], wait: Callable[[], None] = lambda: None) -> None:
        self._activities, self._wait = activities, wait
        self._profiler: profile | None = None

    def start(self) -> None:
        """Attach; waits first, so that nothing from before is seen."""
        self._wait()
        self._profiler = profile(activities=self._activities, acc_events=True)
        self._profiler.start()

    def stop(self) -> Mapping[str, Any]:
        """Wait, detach, and return Chrome's trace as torch.profiler writes it."""
        assert self._profiler is not None
        self._wait()
        self._profiler.stop()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self._profiler.export_chrome_trace(str(path))
            trace: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        self._profiler = None
        return trace


class CallTracer:
    """torch.profiler on decode calls.

    Args:
        tracer: of the activities in which a device's work is seen.
        read: finds the calls in its trace.
    """

    def __init__(self, tracer: Tracer, read: Callable[[Mapping[str, Any]], list[TracedCall]]) -> None:
        self._tracer, self._read = tracer, read

    def start(self) -> None:
        """Attach."""
        self._tracer.start()

    def stop(self) -> list[TracedCall]:
        """Detach; the calls that were seen."""
        return self._read(self._tracer.stop())
