"""How settings look in every chart: mean value and group rule by colour and symbol both."""

from collections.abc import Sequence

from sparq_perf.fidelity.frontier import SettingPoint
from sparq_perf.report import chart_style as style
from sparq_perf.report.legends import Key
from sparq_profiles import SparqConfig
from sparq_profiles.shape import GroupScore

Family = tuple[bool, GroupScore]

LOOKS: dict[Family, tuple[style.Colour, str]] = {
    (True, "logits"): (style.BLUE, "circle"),
    (True, "softmax"): (style.GREEN, "square"),
    (False, "logits"): (style.ORANGE, "diamond"),
    (False, "softmax"): (style.PURPLE, "triangle-up"),
}


def family(config: SparqConfig) -> Family:
    """What colour and symbol tell apart."""
    return config.mean_value, config.group_score


def family_words(kind: Family) -> str:
    """A family in the legend."""
    return f"{'with' if kind[0] else 'without'} mean value, group rule {kind[1]}"


def family_keys(points: Sequence[SettingPoint]) -> tuple[Key, ...]:
    """The legend of the families that some points have."""
    there = {family(point.config) for point in points}
    return tuple(
        Key(family_words(kind), colour.name, symbol) for kind, (colour, symbol) in LOOKS.items() if kind in there
    )
