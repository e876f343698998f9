"""Record files of runs that never happened, one process after the other, for the gate to judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparq_perf.gate.judging import judge
from sparq_perf.gate.metrics import Metric
from sparq_perf.gate.outcome import Outcome, Side
from sparq_perf.gate.series import Series
from sparq_perf.gate.settings import GateSettings
from sparq_perf.records.schema import Line

BEGIN = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
# A quiet machine: log ratios of ±0.5 %, of mean 0, for pairs in the order measured.
QUIET = (0.005, -0.004, 0.002, -0.003, 0.004, -0.005, 0.003, -0.002)


def pairs(
    key: str = "a",
    *,
    ratio: float = 1.0,
    fresh_ratio: float | None = None,
    n: int = 8,
    noise: float = 1.0,
    metric: Metric = "time",
    **fields: Any,
) -> Series:
    """A series of pairs whose mean ratio is known: ``n`` first ones, and as many fresh ones where asked for."""
    shifts = [noise * QUIET[index % len(QUIET)] for index in range(n)]
    base = [1e-3 * float(np.exp(shift / 2)) for shift in shifts]
    ratios = [float(np.exp(shift)) for shift in shifts]
    candidate = [b * r * ratio for b, r in zip(base, ratios, strict=True)]
    if fresh_ratio is not None:
        candidate += [b * r * fresh_ratio for b, r in zip(base, ratios, strict=True)]
        base += base
    return Series(key, metric, tuple(base), tuple(candidate), **fields)


@dataclass
class Runs:
    """Writes record files: each process a run of its own, a minute after the one before."""

    lines: Any
    folder: Path
    clock: datetime = BEGIN
    n: int = 0

    def process(
        self,
        times_s: Mapping[str, float | None],
        *,
        environment: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        end: Mapping[str, Any] | None = None,
        measurement: Mapping[str, Any] | None = None,
        more: Callable[[dict[str, Any], str], Sequence[Line]] | None = None,
    ) -> list[Line]:
        """One process's lines. A time of None is a measurement that failed; ``more`` adds lines for each key."""
        self.n += 1
        run_id = f"run-{self.n:03d}"

        def stamp() -> dict[str, Any]:
            self.clock += timedelta(seconds=1)
            return {"run_id": run_id, "time": self.clock}

        made: list[Line] = [
            self.lines.run(**stamp(), **{"environment": self.lines.environment(**(environment or {})), **(run or {})})
        ]
        for key, time_s in times_s.items():
            fields = dict(measurement or {})
            if time_s is None:
                fields |= {"status": "failed", "reasons": ("out of memory",)}
            else:
                fields["samples_s"] = tuple(time_s * (1 + shift) for shift in (-2e-3, -1e-3, 0.0, 1e-3, 2e-3))
            made.append(self.lines.measurement(key=key, **stamp(), **fields))
            if more is not None:
                made += more(stamp(), key)
        made.append(self.lines.end(**stamp(), **{"n_measured": len(times_s), "n_missing": 0, **(end or {})}))
        self.clock += timedelta(minutes=1)
        return made

    def write(self, name: str, *processes: list[Line]) -> Path:
        """A record file of these processes, or one that goes on with them; not synced to disk, which takes a while."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line.model_dump_json()}\n" for process in processes for line in process)
        return path

    def abba(
        self, base: Mapping[str, float], candidate: Mapping[str, float | None], n: int = 8, **fields: Any
    ) -> tuple[Path, Path]:
        """Two files of ``n`` pairs measured in turn, on a quiet machine; ``fields`` are the candidate's."""
        arms: tuple[list[list[Line]], list[list[Line]]] = ([], [])
        for index in range(n):
            shift = QUIET[index % len(QUIET)] / 2
            for is_candidate in (False, True) if index % 2 == 0 else (True, False):
                times, sign = (candidate, 1) if is_candidate else (base, -1)
                shifted = {k: None if t is None else t * float(np.exp(sign * shift)) for k, t in times.items()}
                arms[is_candidate].append(self.process(shifted, **(fields if is_candidate else {})))
        return self.write("base.jsonl", *arms[0]), self.write("candidate.jsonl", *arms[1])


@pytest.fixture
def runs(lines: Any, tmp_path: Path) -> Runs:
    return Runs(lines, tmp_path)


@pytest.fixture
def make_pairs() -> Callable[..., Series]:
    return pairs


KINDS: dict[str, dict[str, Any]] = {
    "SAME": {},
    "IMPROVED": {"ratio": 0.9},
    "AMBIGUOUS": {"ratio": 1.1},
    "REGRESSED": {"ratio": 1.1, "fresh_ratio": 1.1},
    "INVALID": {"n": 2},
}


@pytest.fixture
def make_outcome() -> Callable[..., Outcome]:
    """make_outcome("SAME", "INVALID", text=...): these verdicts, in this order; ``text`` decorates every free text."""

    def _make(
        *kinds: str, text: str = "", green: tuple[Any, ...] = GateSettings().green, remarks: Any = (), **fields: Any
    ) -> Outcome:
        series = [pairs(f"{index} {kind}{text}", **{**KINDS[kind], **fields}) for index, kind in enumerate(kinds)]
        judgements = judge(series, GateSettings())
        assert [one.verdict for one in judgements] == list(kinds)
        base = Side(label=f"main{text}", n_runs=8, began=BEGIN, commits=(f"0123abc{text}",), device=f"Test CPU{text}")
        candidate = Side(label=f"HEAD{text}", n_runs=8, began=BEGIN, device=f"Test CPU{text}")
        return Outcome(
            method="paired", base=base, candidate=candidate, green=green, judgements=judgements, remarks=remarks
        )

    return _make


@pytest.fixture
def hostile() -> str:
    """Text that means something to XML, HTML, Markdown and shells."""
    return (
        "</testcase><script>alert(1)</script>\"onmouseover='x' & <b>bold</b> | \\| `code` *it* "
        "[l](https://example.org) ]]> %0A %{x} ${x} ::error::no \x1b[31m \x00 🚀\n# heading\r\n| a | b |"
    )
