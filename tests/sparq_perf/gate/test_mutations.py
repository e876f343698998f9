"""The gate with one part broken: whatever breaks, what got worse or could not be judged is never green."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sparq_perf.gate import assembling, checking, judging, looking, paired, pairing, runs, values
from sparq_perf.gate.settings import GateSettings

KEYS = {"a": 1e-3, "b": 2e-3}
# Modules that the verdict on two files goes through.
MODULES = (
    *("paired", "looking", "judging", "known_cases", "outcome", "verdicts"),
    *("assembling", "pairing", "checking", "values", "runs", "settings", "environments"),
)
Files = tuple[Path, Path]


def slowdown(made: Any) -> Files:
    """b is 10 % slower, in the first pairs and in the fresh ones."""
    return made.abba(KEYS, {**KEYS, "b": 2.2e-3}, 14)


def lost(made: Any) -> Files:
    """b is missing in the candidate."""
    return made.abba(KEYS, {"a": 1e-3}, 6)


def failing(made: Any) -> Files:
    """b fails in the candidate."""
    return made.abba(KEYS, {**KEYS, "b": None}, 6)


def stored_slowdown(made: Any) -> Files:
    """One run each, b twice as slow."""
    return (
        made.write("base.jsonl", made.process(KEYS)),
        made.write("candidate.jsonl", made.process({**KEYS, "b": 4e-3})),
    )


def cut_off(made: Any) -> Files:
    """The candidate's last run has no end."""
    base, candidate = made.abba(KEYS, KEYS, 6)
    lines = candidate.read_text().splitlines(keepends=True)
    candidate.write_text("".join(lines[:-1]))
    return base, candidate


SCENES: dict[str, Callable[[Any], Files]] = {
    scene.__name__: scene for scene in (slowdown, lost, failing, stored_slowdown, cut_off)
}


_MADE: dict[str, Files] = {}


@pytest.fixture
def scenes(runs: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """Every scene's files, written once: no test changes them."""
    own, clock = runs.folder, runs.clock
    for name, scene in SCENES.items() if not _MADE else ():
        runs.folder = tmp_path_factory.mktemp("scenes") / name
        _MADE[name] = scene(runs)
    runs.folder, runs.clock = own, clock
    return _MADE


def is_green(check: Callable[..., Any], files: Files) -> bool:
    """Whether the gate passes them; an exception is no pass, and no exit code 0."""
    # As `gate run` asks for, which measured pairs.
    method = "stored" if files[0].parent.name == "stored_slowdown" else "paired"
    try:
        return bool(check(*files, method=method).exit_code == 0)
    except Exception:
        return False


def test_unbroken_none_is_green(scenes: dict[str, Files], runs: Any) -> None:
    assert [name for name, files in scenes.items() if is_green(checking.check, files)] == []
    assert is_green(checking.check, runs.abba(KEYS, KEYS))


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("broken")


PARTS: list[tuple[Any, str]] = [
    (paired, "geometric_mean"),
    (looking, "paired_test"),
    (looking, "stored_test"),
    (looking, "false_discovery_control"),
    (looking, "relative"),
    (looking, "significance_level"),
    (judging, "look_at"),
    (judging, "find"),
    (judging, "_unfit"),
    (judging, "_conclude"),
    (judging, "_first_verdict"),
    (judging, "_needs_confirming"),
    (checking, "judge"),
    (checking, "complete"),
    (checking, "pair_up"),
    (checking, "read_runs"),
    (checking, "settings_of"),
    (checking, "differences"),
    (checking, "expected_tests"),
    (checking, "check_known_cases"),
    (checking, "check_same_machine"),
    (assembling, "_faults"),
    (assembling, "_left_out"),
    (assembling, "_value"),
    (values, "_time"),
    (values, "_wrong"),
    (runs, "_check_ended"),
    (runs, "read_lines"),
    (pairing, "sorted"),
    (GateSettings, "limits"),
]


@pytest.mark.parametrize(("where", "name"), PARTS, ids=[name for _, name in PARTS])
def test_a_part_that_raises(scenes: dict[str, Files], monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    monkeypatch.setattr(where, name, broken, raising=name != "sorted")
    assert [scene for scene, files in scenes.items() if is_green(checking.check, files)] == []


def all_same(series: Any, settings: Any, method: Any = "paired") -> Any:
    judgements = judging.judge(series, settings, method)
    return tuple(one.model_copy(update={"verdict": "SAME", "reasons": ()}) for one in judgements)


REPLACEMENTS: list[tuple[Any, str, Callable[..., Any]]] = [
    (looking, "paired_test", lambda base, new, *a, **k: paired.paired_test(new, base, *a, **k)),
    (looking, "paired_test", lambda base, new, *a, **k: paired.paired_test(base, base, *a, **k)),
    (looking, "stored_test", lambda base, new, *a, **k: paired.stored_test(base, base, *a, **k)),
    (looking, "false_discovery_control", lambda ps: [1.0] * len(ps)),
    (looking, "significance_level", lambda *_: 0.0),
    (looking, "relative", lambda log_ratio: 0.0),
    (paired, "relative", lambda log_ratio: 0.0),
    (judging, "find", lambda *_: "same"),
    (judging, "find", lambda *_: "better"),
    (judging, "find", lambda *_: "open"),
    (judging, "_unfit", lambda *_: ()),
    (judging, "_unfit", lambda *_: ("nothing fits",)),
    (judging, "_first_verdict", lambda *_: ("SAME", ())),
    (judging, "_confirmed", lambda *_: ("SAME", ())),
    (judging, "_needs_confirming", lambda *_: False),
    (checking, "judge", lambda *_: ()),
    (checking, "judge", lambda series, *_: judging.judge([one for one in series if one.key != "b"], *_)),
    (checking, "judge", lambda series, *_: judging.judge(series[:1], *_)),
    (checking, "judge", all_same),
    (checking, "complete", lambda judgements, expected: tuple(judgements)),
    (checking, "expected_tests", lambda *_: []),
    (checking, "check_known_cases", lambda *_: None),
    (checking, "assemble_pairs", lambda *_: assembling.Assembly(keys=())),
    (checking, "assemble_stored", lambda *_: assembling.Assembly(keys=())),
    (assembling, "_faults", lambda *_: ()),
    (assembling, "_left_out", lambda *_: ((), ())),
    (values, "_wrong", lambda *_: None),
]


@pytest.mark.parametrize(("where", "name", "replacement"), REPLACEMENTS)
def test_a_part_that_answers_wrongly(
    scenes: dict[str, Files], monkeypatch: pytest.MonkeyPatch, where: Any, name: str, replacement: Callable[..., Any]
) -> None:
    monkeypatch.setattr(where, name, replacement)
    assert [scene for scene, files in scenes.items() if is_green(checking.check, files)] == []


FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def places(tree: ast.AST) -> list[ast.Compare | ast.BoolOp | ast.UnaryOp]:
    """Every decision of a module: comparisons, and/or, not."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare | ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
    ]


def source_of(module: str) -> tuple[str, str]:
    spec = importlib.util.find_spec(f"sparq_perf.gate.{module}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8"), spec.origin


def flipped(module: str, number: int) -> tuple[Any, str]:
    """The module's code with one decision turned into its opposite, and which one."""
    text, origin = source_of(module)
    tree = ast.parse(text)
    node = places(tree)[number]
    told = f"{module}.py, line {node.lineno}: {ast.unparse(node)}"
    if isinstance(node, ast.Compare):
        node.ops = [FLIPS[type(node.ops[0])](), *node.ops[1:]]
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    else:
        node.op = ast.UAdd()  # bool is an int: +x is as true as x
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
    return compile(ast.fix_missing_locations(tree), origin, "exec"), told


@contextmanager
def imported_with(module: str, code: Any) -> Iterator[ModuleType]:
    """The gate imported anew, with this code in place of one of its modules."""
    ours = {name: loaded for name, loaded in sys.modules.items() if name.startswith("sparq_perf.gate")}
    package = sys.modules["sparq_perf.gate"]
    attributes = dict(vars(package))
    for name in ours:
        if name != "sparq_perf.gate":
            del sys.modules[name]
    name = f"sparq_perf.gate.{module}"
    made = ModuleType(name)
    made.__package__ = "sparq_perf.gate"
    try:
        sys.modules[name] = made
        exec(code, made.__dict__)
        yield importlib.import_module("sparq_perf.gate.checking")
    finally:
        for loaded in [name for name in sys.modules if name.startswith("sparq_perf.gate")]:
            del sys.modules[loaded]
        sys.modules.update(ours)
        vars(package).clear()
        vars(package).update(attributes)


@pytest.mark.parametrize("module", MODULES)
def test_a_decision_that_is_turned_round(scenes: dict[str, Files], module: str) -> None:
    passed = []
    for number in range(len(places(ast.parse(source_of(module)[0])))):
        code, told = flipped(module, number)
        try:
            with imported_with(module, code) as gate:
                green = [name for name, files in scenes.items() if is_green(gate.check, files)]
        except Exception:  # it cannot even be imported: no pass
            continue
        if green:
            passed.append(f"{told} lets pass: {', '.join(green)}")
    assert passed == []
