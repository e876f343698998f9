"""A run's records as one timeline: a trace-event file that opens in ui.perfetto.dev.

`calls`, `predictions`, `nvml` and `passes` read tracks out of record lines and `absent` what is not there; `events`
writes tracks as Chrome's JSON, `trace` puts it all together.
"""

from sparq_perf.timeline.spans import TimelineError
from sparq_perf.timeline.trace import TRACE_NAME, VIEWER, build_trace, contents, has_timeline, write_trace

__all__ = ["TRACE_NAME", "VIEWER", "TimelineError", "build_trace", "contents", "has_timeline", "write_trace"]
