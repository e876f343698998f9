"""The page of Markdown beside the records: tables from numbers worked by hand, read by a real renderer."""

from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from sparq_perf.records.dram import DramKernel, DramReading, Rung
from sparq_perf.summary_page import summary_page
from sparq_profiles import SparqConfig

OTHER = SparqConfig(16, 128, k_layout="row_major")
RUNGS = (Rung(name="ncu", used=True), Rung(name="cupti"), Rung(name="gpm"))


class Rows(HTMLParser):
    """Every row of every table, by the heading above it."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.heading, self.within = "", ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.within = tag
        if tag in ("h1", "h2"):
            self.heading = ""
        elif tag == "tr":
            self.tables.setdefault(self.heading, []).append([])
        elif tag in ("td", "th"):
            self.tables[self.heading][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.within in ("h1", "h2"):
            self.heading += data.strip()
        elif self.within in ("td", "th", "strong") and data.strip():
            self.tables[self.heading][-1][-1] += f"*{data}*" if self.within == "strong" else data

    def handle_endtag(self, tag: str) -> None:
        self.within = "td" if tag == "strong" else ""


def tables(text: str) -> dict[str, list[list[str]]]:
    parser = Rows()
    parser.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    return parser.tables


def page(lines: list[Any]) -> str:
    return summary_page(lines, ["ceilings    some"], [])


@pytest.fixture
def records(lines: Any, config: SparqConfig) -> list[Any]:
    return [
        lines.run(command=("sparq-perf", "run", "--suite", "tiny")),
        lines.measurement((8e-3,), median_ci_s=(7e-3, 10e-3), predicted=(4e-3, 6e-3, 9e-3)),
        lines.measurement((4e-3,), median_ci_s=(4e-3, 4e-3), implementation="dense-sdpa"),
        lines.measurement((0.5,), status="invalid", reasons=("noisy",), implementation="dense-slow"),
        lines.measurement((2e-3,), median_ci_s=(1e-3, 4e-3), config=config, predicted=(1e-3, 3e-3, 4e-3)),
        lines.measurement((3e-3,), median_ci_s=(3e-3, 3e-3), config=config, implementation="sparq-torch"),
        lines.measurement((0.123e-3,), median_ci_s=(0.1e-3, 0.2e-3), config=OTHER),
        lines.measurement((1e-3,), cache_state="warm"),
        lines.measurement(cache_state="warm", status="failed", reasons=("refused",), implementation="dense-sdpa"),
    ]


def test_what_sparq_bought(records: list[Any], config: SparqConfig) -> None:
    """By the fastest implementation of each setting, over the fastest valid dense one."""
    head, first, second = tables(page(records))["What SparQ bought"]
    assert head[-4:] == ["dense, ms", "SparQ, ms", "speedup", "predicted"]
    settings = f"{config.rank} / {config.top_k}"
    assert first[:6] == ["tiny", "1", "4,096", "cold", settings, "two_copies"]
    # The baseline that won has no prediction.
    assert first[6:] == ["4.00 (dense-sdpa)", "2.00 (sparq-cpu)", "2.00× [1.00, 4.00]", ""]
    assert second[4:8] == ["16 / 128", "row_major", "4.00 (dense-sdpa)", "0.123 (sparq-cpu)"]


def test_which_dense_implementation_won(records: list[Any]) -> None:
    text = page(records)
    assert "Fastest: dense-sdpa at 1, dense-cpu at 1." in text
    assert tables(text)["Which dense implementation won"] == [
        ["model", "batch", "tokens", "caches", "dense-cpu, ms", "dense-sdpa, ms", "dense-slow, ms"],
        ["tiny", "1", "4,096", "cold", "8.00", "*4.00*", "500 (invalid)"],
        ["tiny", "1", "4,096", "warm", "*1.00*", "failed", ""],
    ]


def test_bytes_that_a_counter_saw(lines: Any, config: SparqConfig) -> None:
    """A step of 1,010 bytes by the formula, of 1,250 by the counter; a kernel outside all steps; the whole."""
    kernels = (
        DramKernel(name="attend_kernel", step="attend", launches=1, read_bytes=1200, write_bytes=50),
        DramKernel(name="copy_kernel", launches=1, read_bytes=500, write_bytes=250),
    )
    reading = DramReading.measured(
        "ncu", total_bytes=2000, read_bytes=1700, write_bytes=300, kernels=kernels, rungs=RUNGS
    )
    timed = lines.measurement(config=config, predicted=(1e-3, 2e-3, 3e-3))
    counted = lines.dram(key=timed.key, config=config, dram=reading)
    text = page([timed, counted])
    assert "Counted by Nsight Compute" in text
    _, *rows = tables(text)["DRAM bytes"]
    what = f"sparq-cpu, r={config.rank} k={config.top_k}"
    assert [row[4] for row in rows] == [what] * 3
    assert rows[0][5:] == ["attend", "0.001", "0.001", "-19.2%"]
    assert rows[1][5:] == ["copy_kernel", "", "0.001", ""]
    assert rows[2][-2:] == ["0.002", "-49.5%"]


def test_how_it_was_measured(records: list[Any]) -> None:
    text = page(records)
    assert "## How it was measured\n\n    sparq-perf run --suite tiny\n\n- 2026-03-14, sparq-perf 0.1.0" in text
    assert "torch 2.9.0" in text
    assert "How it was measured" not in page(records[1:])
    odd = records[0].model_copy(update={"command": ("sparq-perf", "run", "--out", "a\n# folder")})
    assert "    sparq-perf run --out 'a # folder'\n" in page([odd])


def test_a_section_with_nothing_to_say_is_left_out(lines: Any, config: SparqConfig) -> None:
    only_sparse = page([lines.measurement(config=config)])
    assert "##" not in only_sparse
    assert "Which dense" not in page([lines.measurement(), lines.measurement(config=config)])


def test_names_from_data_are_text(lines: Any, config: SparqConfig) -> None:
    name = "<b>a|b</b> `x`"
    dense, sparse = lines.measurement(model=name), lines.measurement((1e-3,), model=name, config=config)
    _, row = tables(page([dense, sparse]))["What SparQ bought"]
    assert row[0] == name
