"""Rights to the counters, from files as Linux and the driver write them."""

from pathlib import Path

import pytest

from sparq_perf.measure.dram.permission import counters_refused

NOBODY, ROOT_IN_A_CONTAINER, ROOT, PERFMON = (
    "0000000000000000",
    "00000000a80425fb",
    "000001ffffffffff",
    "0000004000000000",
)


def proc(folder: Path, restricted: str | None, capabilities: str | None) -> Path:
    if restricted is not None:
        (folder / "driver/nvidia").mkdir(parents=True)
        text = f'ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: {restricted}\nTemporaryFilePath: ""\n'
        (folder / "driver/nvidia/params").write_text(text)
    if capabilities is not None:
        (folder / "self").mkdir()
        status = f"Name:\tpython\nCapPrm:\t{capabilities}\nCapEff:\t{capabilities}\n"
        (folder / "self/status").write_text(status)
    return folder


@pytest.mark.parametrize(
    ("restricted", "capabilities", "refused"),
    [
        ("1", NOBODY, True),
        ("1", ROOT_IN_A_CONTAINER, True),
        ("1", ROOT, False),
        ("1", PERFMON, False),
        ("0", NOBODY, False),
        (None, NOBODY, False),
        ("1", None, False),
    ],
)
def test_who_is_refused(restricted: str | None, capabilities: str | None, refused: bool, tmp_path: Path) -> None:
    found = counters_refused(proc(tmp_path, restricted, capabilities))
    assert (found is not None) == refused
    assert found is None or (found.kind == "no_permission" and "RmProfilingAdminOnly" in found.detail)
