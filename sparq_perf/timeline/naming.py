"""How a timeline calls a configuration: short beside its spans, in full among their arguments."""

from dataclasses import asdict
from typing import Any

from sparq_perf.records.schema import Subject


def short_name(subject: Subject) -> str:
    """Implementation, workload and settings, as somebody would type them into a viewer's search box."""
    shape, config = subject.shape, subject.config
    settings = "" if config is None else f" r={config.rank} k={config.top_k}"
    state = f"{subject.model} B={shape.batch} S={shape.seq_len}{settings} {subject.cache_state}"
    return f"{subject.implementation} {state}"


def configuration(subject: Subject) -> dict[str, Any]:
    """Everything that tells it from others."""
    settings = {} if subject.config is None else asdict(subject.config)
    return {
        "implementation": subject.implementation,
        "model": subject.model,
        **asdict(subject.shape),
        **settings,
        "cache_state": subject.cache_state,
    }
