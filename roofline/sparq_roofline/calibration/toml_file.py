"""Calibrations as TOML files: what was fitted, to what, under which ceilings."""

import os
import tomllib
from pathlib import Path

from sparq_profiles import ConfigError, ProfileError
from sparq_profiles.load import parse
from sparq_roofline.calibration.calibration import Calibration

HEADER = """\
# A calibration of sparq-perf: time models of a device's implementations, fitted to the points below.
# Costs are in seconds, or over the ceilings of [hardware]; docs/calibration.md explains them.
"""


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration; the file is whole or not there.

    Raises:
        ConfigError: the file cannot be written, or tomlkit, which writes TOML, is not installed.
    """
    try:
        # Here, because a machine that only measures, and reads what others calibrated, may lack it.
        import tomlkit
    except ModuleNotFoundError:
        raise ConfigError(
            f"{path}: cannot be written: tomlkit is not installed: pip install tomlkit, or calibrate where it is"
        ) from None
    text = HEADER + tomlkit.dumps(calibration.model_dump(mode="json", exclude_none=True))
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None


def load_calibration(path: Path | str) -> Calibration:
    """Read a calibration and check it.

    Raises:
        ProfileError: no such file, not TOML, or a field that is missing, unknown or wrong; the message names it.
    """
    path = Path(path)
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"{path}: no such file: make one with 'sparq-perf calibrate'") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: cannot be read as TOML ({error}): mend the file or calibrate again") from None
    return parse(Calibration, fields, str(path))
