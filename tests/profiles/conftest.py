from collections.abc import Callable
from pathlib import Path

import pytest

from sparq_profiles import ProfileError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file under a fresh folder: write(name, content) returns its path."""

    def _write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return _write


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The message of the ProfileError that load(argument) must raise; it must be one line."""

    def _refusal(load: Callable[[object], object], argument: object) -> str:
        with pytest.raises(ProfileError) as caught:
            load(argument)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        return message

    return _refusal
