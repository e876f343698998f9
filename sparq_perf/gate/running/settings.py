"""How the two revisions are measured: `[tool.sparq-perf.gate.run]`, and the command line over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sparq_perf.gate.configuring import TABLE, load_table
from sparq_perf.gate.errors import GateError
from sparq_profiles.load import describe
from sparq_profiles.quantity import Frozen

NAME = "run"
Text = Annotated[str, Field(min_length=1)]


class Measuring(Frozen):
    """What every process of a comparison is told.

    Attributes:
        suite: name or path.
        device, threads, seed, timeout_s, implementations: as for `sparq-perf run`.
        predict: find ceilings and calibrate in every process, which the metric ``prediction_error`` needs: minutes.
        process_timeout_s: a process that takes longer has failed.
        install: install each revision into a virtual environment of its own, with what it needs.
    """

    suite: Text | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    implementations: tuple[Text, ...] = ()
    predict: bool = False
    process_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    install: bool = False


def load_measuring(config: Path | None, given: Mapping[str, Any]) -> Measuring:
    """The table, and over it what the command line gives (None: nothing).

    Raises:
        GateError: names, files or settings that cannot be.
    """
    table, path = load_table(config)
    where = f"{path}, [{'.'.join((*TABLE, NAME))}]"
    try:
        settings = Measuring.model_validate(table.get(NAME, {}))
    except ValidationError as error:
        raise GateError(describe(error, where)) from None
    wanted = {name: value for name, value in given.items() if value is not None}
    try:
        return Measuring.model_validate({**settings.model_dump(), **wanted})
    except ValidationError as error:
        raise GateError(_of_the_command_line(error)) from None


def _of_the_command_line(error: ValidationError) -> str:
    fault = error.errors()[0]
    option = str(fault["loc"][0]).replace("_", "-")
    return f"--{option} is {fault['input']!r}: {fault['msg'][:1].lower() + fault['msg'][1:]}"
