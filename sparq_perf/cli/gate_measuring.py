"""Options that `gate run` and `gate aa` share, and what they build."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sparq_perf.gate.running.settings import Measuring
    from sparq_perf.gate.settings import GateSettings

Suite = Annotated[
    str | None, typer.Option("--suite", help="smoke (default), standard, gpu, ..., or the path of a .toml.")
]
Pairs = Annotated[
    int | None, typer.Option("--pairs", help="Pairs of processes; 8 by default, and as many again where in doubt.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of all records and verdicts.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in --out, after a kill.")]
Implementation = Annotated[
    list[str] | None, typer.Option("--implementation", help="Measure only this one; may be given again.")
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda or auto (default).")]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads; all usable cores by default.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of caches and queries, the same in every process.")]
TimeoutS = Annotated[float | None, typer.Option("--timeout-s", help="Longest time for one shape's rounds.")]
ProcessTimeoutS = Annotated[
    float | None, typer.Option("--process-timeout-s", help="A process that takes longer has failed; 3600 by default.")
]
Predict = Annotated[
    bool | None,
    typer.Option("--predict/--no-predict", help="Compare prediction errors too: minutes more in every process."),
]
Install = Annotated[
    bool | None,
    typer.Option("--install/--no-install", help="Install each revision, with what it needs, by pip: other versions."),
]
KeepTrees = Annotated[bool, typer.Option("--keep-trees", help="Leave the checked-out revisions in --out.")]
Repo = Annotated[Path, typer.Option("--repo", help="A folder in the repository of the revisions.")]


def build_settings(config: Path | None, pairs: int | None) -> "GateSettings":
    """The gate's settings, with another number of pairs where one is given.

    Raises:
        SparqPerfError: settings that cannot be.
    """
    from pydantic import ValidationError

    from sparq_perf.gate.configuring import load_settings
    from sparq_perf.gate.errors import GateError
    from sparq_perf.gate.settings import GateSettings

    settings = load_settings(config)
    if pairs is None:
        return settings
    try:
        return GateSettings.model_validate({**settings.model_dump(), "pairs": pairs})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise GateError(f"--pairs is {pairs}: {message[:1].lower() + message[1:]}") from None


def build_measuring(config: Path | None, implementation: Sequence[str] | None, **given: Any) -> "Measuring":
    """What processes are told: the command line over the settings.

    Raises:
        SparqPerfError: settings that cannot be, an unknown implementation, or a device that is not here.
    """
    from sparq_kernels import find_implementation
    from sparq_perf.gate.running.settings import load_measuring

    for name in implementation or ():
        find_implementation(name)
    return load_measuring(config, {**given, "implementations": tuple(implementation) if implementation else None})


def tell(line: str) -> None:
    """Progress, on stderr."""
    typer.echo(line, err=True)
