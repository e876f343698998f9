"""The accepted facts, in one committed file: a fact a line, so that a difference of two versions reads well."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

from sparq_perf.gate.deterministic.facts import SECTIONS, Facts, Rows, Section
from sparq_perf.gate.errors import GateError

SCHEMA_VERSION = 1
DEFAULT_PATH = Path("reports/baselines/deterministic.json")
MEND = "make it anew with 'sparq-perf gate --accept', or give the --baseline that it wrote"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was accepted.

    Attributes:
        facts: by section; a section that was never accepted is not there.
        triton: the version whose compilers the section ``compiled`` is of; None where there is none.
    """

    facts: Facts = field(default_factory=dict)
    triton: str | None = None

    def rows(self, section: Section) -> Rows:
        """Facts of one section; none where it was never accepted."""
        return self.facts.get(section, {})

    def with_facts(self, facts: Facts, triton: str | None) -> "Baseline":
        """The same with some sections anew."""
        return Baseline({**self.facts, **facts}, triton or self.triton)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            GateError: it cannot be written.
        """
        parts = [f'"schema_version": {SCHEMA_VERSION}', f'"triton": {json.dumps(self.triton)}']
        for section in SECTIONS:
            if section in self.facts:
                rows = self.facts[section].items()
                lines = ",\n".join(f"{_text(name)}: {_text(dict(row))}" for name, row in rows)
                parts.append(f'"{section}": {{\n{lines}\n}}')
        beside = path.with_suffix(".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
            os.replace(beside, path)
        except OSError as error:
            raise GateError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_baseline(path: Path) -> Baseline:
    """The accepted facts of a file.

    Raises:
        GateError: no such file, or one that `Baseline.write` did not write; the message names what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GateError(
            f"{path}: no such file: nothing was accepted yet: 'sparq-perf gate --accept --baseline {path}' begins it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"{path}: cannot be read: {error}: {MEND}") from None
    try:
        data: Any = json.loads(text, parse_constant=_refuse, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise GateError(f"{path}: is not a baseline: {error}: {MEND}") from None
    return _checked(data, str(path))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two facts of one name, as a careless merge leaves them, JSON would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


def _checked(data: Any, where: str) -> Baseline:
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        version = data.get("schema_version") if isinstance(data, dict) else None
        raise GateError(
            f"{where}: is not a baseline of version {SCHEMA_VERSION} (schema_version is {version!r}): {MEND}"
        )
    unknown = sorted(set(data) - {"schema_version", "triton", *SECTIONS})
    if unknown:
        raise GateError(f"{where}: {unknown[0]!r} is no section of a baseline: {MEND}")
    triton = data.get("triton")
    if triton is not None and not isinstance(triton, str):
        raise GateError(f"{where}: triton is {triton!r}: it must be a version or null: {MEND}")
    for section in SECTIONS:
        if section in data:
            _check_rows(data[section], f"{where}: {section}")
    return Baseline({section: cast(Rows, data[section]) for section in SECTIONS if section in data}, triton)


def _check_rows(rows: Any, where: str) -> None:
    if not isinstance(rows, dict) or not rows:
        raise GateError(f"{where} holds no facts: {MEND}")
    for name, row in rows.items():
        if not isinstance(row, Mapping) or not row:
            raise GateError(f"{where}: {name!r} is {row!r}: it must be facts by name: {MEND}")
        for fact, value in row.items():
            scalar = value is None or isinstance(value, (str, int, float))
            if not scalar or (isinstance(value, float) and not math.isfinite(value)):
                raise GateError(f"{where}: {name!r}: {fact} is {value!r}: it must be a number, a text or null: {MEND}")
