"""The order in which the page lists steps."""

from collections.abc import Set

# The order in which a decode step runs them; steps of other names follow in alphabetical order.
STEP_ORDER = ("attend", "append", "score", "select", "gather", "mean_value")
OTHER = "outside named steps"


def in_order(names: Set[str]) -> tuple[str, ...]:
    """Each name once, in that order, what lies outside named steps last."""
    known = [name for name in STEP_ORDER if name in names]
    others = sorted(names - set(STEP_ORDER) - {OTHER})
    return (*known, *others, *([OTHER] if OTHER in names else []))
