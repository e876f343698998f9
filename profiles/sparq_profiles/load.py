"""Finding, reading and validating profiles; every failure names the file, field, value and mend."""

import difflib
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sparq_profiles.errors import ProfileError
from sparq_profiles.hardware import HardwareProfile
from sparq_profiles.model import ModelProfile, model_from_huggingface_config
from sparq_profiles.suite import Suite

P = TypeVar("P", bound=BaseModel)


def data_directory() -> Path:
    """Folder of the TOML files that ship with the package."""
    return Path(str(resources.files("sparq_profiles"))) / "data"


def list_names(what: str) -> list[str]:
    """Names of the shipped profiles of one kind: ``hardware``, ``models`` or ``suites``."""
    return sorted(path.stem for path in (data_directory() / what).glob("*.toml"))


def load_hardware(name_or_path: str | Path) -> HardwareProfile:
    """A hardware profile by its name, or from a TOML file.

    Raises:
        ProfileError: unknown name, unreadable file or invalid content.
    """
    return _load(name_or_path, "hardware", HardwareProfile)


def load_model(name_or_path: str | Path) -> ModelProfile:
    """A model profile by its name, from a TOML file, or from a Hugging Face ``config.json`` (or its folder).

    Raises:
        ProfileError: unknown name, unreadable file or invalid content.
    """
    path = Path(name_or_path)
    if path.is_dir() and (path / "config.json").exists():
        path = path / "config.json"
    if path.suffix == ".json":
        if not path.exists():
            raise ProfileError(f"{path}: no such file: give the path of a Hugging Face config.json")
        return parse(ModelProfile, model_from_huggingface_config(path), str(path))
    return _load(name_or_path, "models", ModelProfile)


def load_suite(name_or_path: str | Path) -> Suite:
    """A suite of workloads by its name, or from a TOML file.

    Raises:
        ProfileError: unknown name, unreadable file or invalid content.
    """
    return _load(name_or_path, "suites", Suite)


def parse(kind: type[P], fields: dict[str, Any], where: str) -> P:
    """Validate ``fields``; the first fault becomes a ProfileError of one line."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ProfileError(describe(error, where)) from None


def describe(error: ValidationError, where: str) -> str:
    """One line for the first fault of a pydantic error: file, field, value, mend."""
    faults = error.errors()
    first = faults[0]
    field = ".".join(str(part) for part in first["loc"] if part != "[key]")
    mend = first["msg"].removeprefix("Value error, ")
    mend = (mend[:1].lower() + mend[1:]).replace("input should", "it should", 1)
    if not field:  # a rule over several fields, which its message names
        line = f"{where}: {mend}"
    elif first["type"] == "missing":
        line = f"{where}: {field} is missing: add it"
    elif first["type"] == "extra_forbidden":
        line = f"{where}: {field} is not a known field: remove it or mend its spelling"
    else:
        shown = repr(first["input"])
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        line = f"{where}: {field} is {shown}: {mend}"
    more = len(faults) - 1
    line += f" (and {more} more)" if more else ""
    return line.replace("\r", "\\r").replace("\n", "\\n")  # a quoted TOML key may hold a line break


def _load(name_or_path: str | Path, what: str, kind: type[P]) -> P:
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return read_toml(path, kind)
    if str(name_or_path) in list_names(what):
        shipped: P = _shipped(str(name_or_path), what, kind)
        return shipped
    known = list_names(what)
    close = difflib.get_close_matches(str(name_or_path).lower(), known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ProfileError(
        f"unknown {what.rstrip('s') if what != 'hardware' else what} {str(name_or_path)!r}: {hint}"
        f"known: {', '.join(known)}, or the path of a .toml file"
    )


@cache
def _shipped(name: str, what: str, kind: type[P]) -> P:
    return read_toml(data_directory() / what / f"{name}.toml", kind)


def read_toml(path: Path, kind: type[P]) -> P:
    """A validated TOML file; ProfileError where it cannot be read or believed."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"{path}: no such file: give the path of a .toml file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: cannot be read as TOML ({error}): mend the file") from None
    return parse(kind, fields, str(path))


def all_hardware() -> Iterator[HardwareProfile]:
    """Every shipped hardware profile, by name."""
    return (load_hardware(name) for name in list_names("hardware"))


def all_models() -> Iterator[ModelProfile]:
    """Every shipped model profile, by name."""
    return (load_model(name) for name in list_names("models"))
