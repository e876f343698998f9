"""Finding and reading `[tool.sparq-perf.gate]`."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sparq_perf.gate.errors import GateError
from sparq_perf.gate.settings import GateSettings
from sparq_profiles.load import describe

PROJECT_FILE = "pyproject.toml"
TABLE = ("tool", "sparq-perf", "gate")
# Tables inside it that belong to other parts of the gate.
OTHERS = ("deterministic", "run")


def load_settings(config: Path | None = None, folder: Path | None = None) -> GateSettings:
    """The gate's settings.

    Args:
        config: a TOML file that has the table; where None, the pyproject.toml of ``folder`` or of the nearest folder
            above it is read, and need not have the table.
        folder: where to look; the current one by default.

    Raises:
        GateError: a file that cannot be read, or settings that cannot be; the message names the field.
    """
    table, path = load_table(config, folder)
    fields = {name: value for name, value in table.items() if name not in OTHERS}
    try:
        return GateSettings.model_validate(fields)
    except ValidationError as error:
        raise GateError(describe(error, f"{path}, [{'.'.join(TABLE)}]")) from None


def load_table(config: Path | None = None, folder: Path | None = None) -> tuple[dict[str, Any], Path | None]:
    """The table as it stands, and the file that holds it (None where there is no file); as for `load_settings`."""
    path = config or _nearest(folder or Path.cwd())
    if path is None:
        return {}, None
    table: Any = _read(path)
    for depth, name in enumerate(TABLE, start=1):
        table = table.get(name)
        if table is None:
            if config is not None:
                raise GateError(f"{path}: has no table [{'.'.join(TABLE)}]: add it, or leave out --config")
            return {}, path
        if not isinstance(table, dict):
            raise GateError(f"{path}: {'.'.join(TABLE[:depth])} is {table!r}: it must be a table")
    return table, path


def _nearest(folder: Path) -> Path | None:
    here = folder.resolve()
    return next((path for place in (here, *here.parents) if (path := place / PROJECT_FILE).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GateError(f"{path}: no such file: give the path of a .toml file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise GateError(f"{path}: cannot be read as TOML ({error}): mend the file") from None
