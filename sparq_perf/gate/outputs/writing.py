"""Outputs on disk, whole or not at all."""

import os
from pathlib import Path

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.outcome import Outcome


def outcome_json(outcome: Outcome) -> str:
    """For machines, and for `read_outcome`."""
    return outcome.model_dump_json(indent=2) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file that no reader ever sees half of.

    Raises:
        GateError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same of bytes."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(content)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise GateError(f"{path}: cannot be written: {error.strerror or error}") from None
