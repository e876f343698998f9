"""Where the page's numbers came from: files, models, versions, data and the command."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparq_perf import __version__
from sparq_perf.fidelity.frontier import SPEED_TASK
from sparq_perf.records.fidelity import Fidelity
from sparq_perf.records.schema import Line
from sparq_perf.report.wording import count, moment
from sparq_profiles import HardwareProfile


@dataclass(frozen=True, slots=True)
class Source:
    """One record file: its name and digest, and the lines that were read."""

    name: str
    sha256: str
    n_lines: int


def source_of(path: Path, lines: Sequence[Line]) -> Source:
    """A record file that was read."""
    return Source(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), len(lines))


def provenance_facts(
    lines: Sequence[Fidelity], hardware: HardwareProfile | None, command: str | None
) -> tuple[tuple[str, str], ...]:
    """Names and values; several values of a name are told once each."""
    facts = list(_measured(lines)) if lines else []
    if hardware is not None:
        facts.append(("Predicted for", f"{hardware.title} ({hardware.name})"))
    facts.append(("Page made by", f"sparq-perf {__version__}"))
    return (*facts, ("Command", command)) if command else tuple(facts)


def _measured(lines: Sequence[Fidelity]) -> Iterable[tuple[str, str]]:
    times = sorted(line.time for line in lines)
    yield "Models", _different(line.model for line in lines)
    yield "Heads", _different(map(_heads, lines))
    yield "Measured", f"{moment(times[0])} to {moment(times[-1])}"
    yield "Device", _different(line.device for line in lines)
    yield "Computed by", _different(line.implementation for line in lines)
    yield "Versions", _different(", ".join(f"{name} {v}" for name, v in line.versions.items()) for line in lines)
    yield "Tasks", _different(_task(line) for line in lines)
    yield "Data", _different(f"{line.dataset} (SHA-256 {line.dataset_sha256[:16]})" for line in lines)


def _heads(line: Fidelity) -> str:
    shape = line.shape
    heads = f"{shape.n_heads} query heads on {shape.n_kv_heads} KV heads, head dim {shape.head_dim}"
    return f"{heads}, {count(line.n_layers, 'layer')}, {shape.dtype}"


def _task(line: Fidelity) -> str:
    sizes = f"context {line.context:,}, {line.new_tokens} steps"
    if line.task == SPEED_TASK:
        return f"{line.task}: {sizes}, batch {line.shape.batch}"
    return f"{line.task}: {sizes}, {count(line.n_examples, 'example')}, seed {line.seed}"


def _different(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
