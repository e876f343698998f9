import sys
import tomllib
from pathlib import Path

import pytest

from sparq_profiles import AttentionShape, ConfigError, HardwareProfile, ProfileError, SparqConfig
from sparq_roofline.calibration import Calibration, calibrate, load_calibration, save_calibration

from .conftest import Points


@pytest.fixture(scope="module")
def calibration(points: Points, gpu: HardwareProfile) -> Calibration:
    measured = [*points(("two_copies", "row_major")), *points((None,), implementation="dense-made-up")]
    return calibrate(measured, gpu, n_points=8)


def test_round_trip(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "new" / "calibration.toml"
    save_calibration(calibration, path)
    loaded = load_calibration(path)
    assert loaded == calibration
    shape, config = AttentionShape(3, 5000, 16, 16, 128), SparqConfig(24, 90)
    for name, settings in (("sparq-made-up", config), ("dense-made-up", None)):
        assert loaded.predict(name, shape, settings) == calibration.predict(name, shape, settings)
    assert list(path.parent.iterdir()) == [path]


def test_the_file_says_where_it_came_from(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    save_calibration(calibration, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# A calibration of sparq-perf")
    fields = tomllib.loads(text)
    assert set(fields["provenance"]) == {
        "device", "created", "source", "source_sha256", "seed", "points", "choice", "package_version",
    }  # fmt: skip
    sparq = next(entry for entry in fields["implementations"] if entry["implementation"] == "sparq-made-up")
    assert len(sparq["points"]) == 16
    assert {"shape", "config", "measured_s", "fitted_s", "disturbed"} == set(sparq["points"][0])
    seen = [point["shape"]["seq_len"] for point in sparq["points"] if point["config"]["k_layout"] == "two_copies"]
    (model,) = (entry["model"] for entry in sparq["models"] if entry["k_layout"] == "two_copies")
    assert model["ranges"]["seq_len"] == [min(seen), max(seen)]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("format_version = 1", "format_version = 2", r"format_version is 2: it should be 1"),
        ("format_version = 1", "format_version = 1\ncolour = 3", r"colour is not a known field: remove it"),
        ("seed = 0", "", r"provenance.seed is missing: add it"),
        ("overlap = ", "overlap = 0.5 # ", r"overlap is 0.5: it must be a number of at least 1"),
        ("stream_slowdown = ", "stream_slowdown = nan # ", r"stream_slowdown is nan"),
        ("host_s = ", "host_s = 'soon' # ", r"host_s is 'soon': it should be a valid number"),
        ("position_s = ", "position_seconds = ", r"position_s(econds)? is (missing|not a known field)"),
        ('dtype = "float16"\nsteps', 'dtype = "float17"\nsteps', r"dtype is 'float17'"),
        ("measured_s = ", "measured_s = -1 # ", r"measured_s is -1.*: it should be greater than 0"),
        ("spread = [", "spread = [1.0, ", r"spread has \d+ values where its axes have \d+ nodes"),
        ("memory_bytes", "memory_bites", r"hardware.memory_b"),
    ],
)  # fmt: skip
def test_bad_files(calibration: Calibration, tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "calibration.toml"
    save_calibration(calibration, path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProfileError, match=complaint) as caught:
        load_calibration(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("content", "complaint"), [(b"= 3", "cannot be read as TOML"), (b"\xff", "cannot be read")])
def test_what_is_no_toml(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "calibration.toml"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=complaint):
        load_calibration(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"gone.toml: no such file: make one with 'sparq-perf calibrate'"):
        load_calibration(tmp_path / "gone.toml")


def test_where_it_cannot_be_written(calibration: Calibration, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_calibration(calibration, tmp_path / "file" / "calibration.toml")


def test_where_nothing_writes_toml(calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare machine reads what others calibrated."""
    path = tmp_path / "calibration.toml"
    save_calibration(calibration, path)
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert load_calibration(path) == calibration
    with pytest.raises(ConfigError) as caught:
        save_calibration(calibration, tmp_path / "other.toml")
    assert str(caught.value) == (
        f"{tmp_path / 'other.toml'}: cannot be written: tomlkit is not installed: pip install tomlkit, "
        "or calibrate where it is"
    )
