"""What every page of sparq-perf shares: templates, assets that are part of the file, and writing it in one go."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

# Ways in which text inside <script> can end the script or start a comment in it; none is needed in JSON.
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def environment(*packages: str, filters: Mapping[str, Callable[..., str]]) -> Environment:
    """Templates of some packages, the first that has one; whatever they show is escaped."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(filters)
    return found


def asset(package: str, name: str) -> str:
    """The text of a file beside a package's templates."""
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, escape)
    return text


def script_hashes(scripts: list[str]) -> str:
    """What a content security policy lists so that these scripts run, and no other."""
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)


def write_page(page: str, path: Path) -> None:
    """Write a page; a reader of ``path`` sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
