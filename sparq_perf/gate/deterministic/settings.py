"""What the deterministic gate looks at: `[tool.sparq-perf.gate.deterministic]`, and the command line over it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

from pydantic import Field, ValidationError

from sparq_perf.gate.configuring import TABLE, load_table
from sparq_perf.gate.deterministic.baseline import DEFAULT_PATH
from sparq_perf.gate.deterministic.compiled import Compile
from sparq_perf.gate.deterministic.deciding import Request
from sparq_perf.gate.deterministic.facts import SECTIONS, Section
from sparq_perf.gate.errors import GateError
from sparq_profiles.load import describe
from sparq_profiles.quantity import Frozen

NAME = "deterministic"
COMPILE: tuple[Compile, ...] = get_args(Compile)


class DeterministicSettings(Frozen):
    """The table.

    Attributes:
        baseline: file of the accepted facts, relative to the folder of the file that has the table.
        sections: those looked at.
        compile: which kernels are compiled.
    """

    baseline: Path = DEFAULT_PATH
    sections: Annotated[tuple[Section, ...], Field(min_length=1)] = SECTIONS
    compile: Compile = "changed"


def load_request(
    config: Path | None,
    baseline: Path | None = None,
    sections: Sequence[str] | None = None,
    compile_which: str | None = None,
    accept: bool = False,
) -> Request:
    """What is asked for: the command line where it says something, else the table, else the defaults.

    Raises:
        GateError: names, files or settings that cannot be.
    """
    settings, folder = _settings(config)
    for name in sections or ():
        if name not in SECTIONS:
            raise GateError(f"--section is {name!r}: choose of {', '.join(SECTIONS)}")
    if compile_which is not None and compile_which not in COMPILE:
        raise GateError(f"--compile is {compile_which!r}: choose changed, all or never")
    chosen = tuple(name for name in SECTIONS if name in (sections or settings.sections))
    return Request(
        baseline=baseline or folder / settings.baseline,
        sections=chosen,
        compile=next((name for name in COMPILE if name == compile_which), settings.compile),
        accept=accept,
    )


def _settings(config: Path | None) -> tuple[DeterministicSettings, Path]:
    table, path = load_table(config)
    where = f"{path}, [{'.'.join((*TABLE, NAME))}]"
    try:
        settings = DeterministicSettings.model_validate(table.get(NAME, {}))
    except ValidationError as error:
        raise GateError(describe(error, where)) from None
    # Without a table, the default is meant where the user stands.
    return settings, path.parent if path is not None and NAME in table else Path()
