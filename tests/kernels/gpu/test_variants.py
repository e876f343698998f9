"""The recorded cases reach every branch that is compiled in, on every target; recording runs no kernel."""

from collections import defaultdict
from typing import Any

import pytest

from sparq_kernels.gpu.compiling.targets import TARGETS
from sparq_kernels.gpu.variants import CASES
from sparq_profiles.shape import GROUP_SCORES, K_LAYOUTS

# Constants that choose between pieces of code, by kernel, and the values that must be seen.
BRANCHES: dict[str, dict[str, set[Any]]] = {
    "score": {
        "ROWS": {False, True},
        "VECTOR": {False, True},
        "EMIT": {0, 1, 2},
        "HAS_TAIL": {False, True},
        "GROUP": {1, 4, 5, 8, 16},
        "HEAD_DIM": {64, 80, 128, 256},
    },
    "select": {"AT_ONCE": {False, True}, "SOURCE": {0, 1, 2}, "HAS_TAIL": {False, True}},
    "attend": {
        "BY_CHANNEL": {False, True},
        "LISTED": {False, True},
        "BLEND": {False, True},
        "SPLIT": {False, True},
        "GROUP": {1, 4, 5, 8, 16},
        "HEAD_DIM": {64, 80, 96, 128, 256},
    },
    "append": {"HAS_ROWS": {False, True}, "COLUMN": {False, True}, "FLUSH": {False, True}},
}


@pytest.fixture(scope="module")
def seen() -> dict[tuple[str, str, str], set[Any]]:
    """(target, kernel, constant) → its values over all cases."""
    found: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
    for target in TARGETS:
        for case in CASES:
            for launch in case.record(target):
                for name, value in launch.constants.items():
                    found[target, launch.name, name].add(value)
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("kernel", "constant"), [(kernel, name) for kernel in BRANCHES for name in BRANCHES[kernel]])
def test_every_value_of_a_branch_is_compiled(
    seen: dict[tuple[str, str, str], set[Any]], target: str, kernel: str, constant: str
) -> None:
    assert seen[target, kernel, constant] >= BRANCHES[kernel][constant]


def test_flags_that_are_not_listed_above_take_both_values(seen: dict[tuple[str, str, str], set[Any]]) -> None:
    # A branch added to a kernel is noticed here. Of numbers it cannot be known which choose code.
    for (target, kernel, constant), values in seen.items():
        if any(isinstance(value, bool) for value in values):
            assert values == {False, True}, (target, kernel, constant)


def test_every_type_layout_and_rule_has_a_case() -> None:
    assert {case.shape.dtype for case in CASES} == {"float16", "bfloat16", "float32"}
    assert {case.k_layout for case in CASES} == set(K_LAYOUTS)
    assert {case.config.group_score for case in CASES if case.config} == set(GROUP_SCORES)
    assert {case.config.mean_value for case in CASES if case.config} == {False, True}


def test_labels_tell_cases_apart() -> None:
    assert len({case.label for case in CASES}) == len(CASES)
