"""Colours, symbols and axes that all charts share, in light and dark.

Figures are built in the light colours. The page's script exchanges each for its dark counterpart when the
reader's colour scheme is dark, so every colour that a figure uses must come from this module.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from sparq_perf.report.wording import tokens


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour by its place in the page's style sheet, and its two shades."""

    name: str
    light: str
    dark: str


# Hues after Okabe and Ito, told apart under the common colour-vision deficiencies; darker on white,
# brighter on black, so that lines and marks keep a contrast of 3:1 or more with the page.
BLUE = Colour("blue", "#0067a5", "#56b4e9")
ORANGE = Colour("orange", "#c44e00", "#f5924e")
GREEN = Colour("green", "#00805a", "#2fc79b")
PURPLE = Colour("purple", "#a3508a", "#dd93c4")
GOLD = Colour("gold", "#8f6a00", "#e0bf4a")
SLATE = Colour("slate", "#5f6c7b", "#a3b0bf")
SERIES = (BLUE, ORANGE, GREEN, PURPLE, GOLD)
INK = Colour("ink", "#1b2430", "#e7ebf0")
MUTED = Colour("muted", "#55616f", "#a5b0bd")
GRID = Colour("grid", "#e1e6ec", "#2d3742")
AXIS = Colour("axis", "#b3bcc7", "#56626f")
SURFACE = Colour("surface", "#fdfdfe", "#1a212a")
# Ends and middle of the speedup heatmap: slower, even, faster.
SLOWER = Colour("slower", "#b5500c", "#b5561a")
EVEN = Colour("even", "#f1f3f6", "#2b3440")
FASTER = Colour("faster", "#1f6fae", "#2374b8")
ON_STRONG = Colour("on-strong", "#ffffff", "#f4f6f8")
COLOURS = (*SERIES, SLATE, INK, MUTED, GRID, AXIS, SURFACE, SLOWER, EVEN, FASTER, ON_STRONG)

SYMBOLS = ("circle", "square", "diamond", "triangle-up")
CACHE_COLOURS = {"cold": BLUE, "warm": ORANGE}
CACHE_SYMBOLS = {"cold": "circle", "warm": "diamond"}
STEP_COLOURS = {
    "attend": BLUE,
    "score": ORANGE,
    "select": GREEN,
    "gather": PURPLE,
    "mean_value": GOLD,
    "outside named steps": SLATE,
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_LONGEST_TEXT = 140


def faded(colour: Colour) -> str:
    """The colour of a band, as a figure names it."""
    return _translucent(colour.light, 0.12)


def dark_counterparts() -> dict[str, str]:
    """What each colour of a figure becomes in a dark scheme."""
    pairs = {colour.light: colour.dark for colour in COLOURS}
    return pairs | {faded(colour): _translucent(colour.dark, 0.2) for colour in COLOURS}


def _translucent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def implementation_marks(implementations: Sequence[str]) -> dict[str, tuple[Colour, str]]:
    """A colour and a symbol for each implementation, all different up to 20 of them."""
    return {
        name: (SERIES[index % len(SERIES)], SYMBOLS[(index + index // len(SERIES)) % len(SYMBOLS)])
        for index, name in enumerate(implementations)
    }


def step_colours(step_names: Sequence[str]) -> dict[str, Colour]:
    """A colour for each step; steps that this module does not know take those left over."""
    free = [colour for colour in SERIES if colour not in {STEP_COLOURS.get(name) for name in step_names}] or [*SERIES]
    unknown = [name for name in step_names if name not in STEP_COLOURS]
    extra = {name: free[index % len(free)] for index, name in enumerate(unknown)}
    return {name: STEP_COLOURS.get(name) or extra[name] for name in step_names}


def plain(text: str) -> str:
    """Text that plotly shows as it is: it reads tags and entities in labels and hover texts."""
    shown = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
    return html.escape(" ".join(shown.split()), quote=False)


def hover(*lines: str) -> str:
    """A hover text of several lines."""
    return "<br>".join(plain(line) for line in lines if line)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """One axis in the page's style."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": MUTED.light}, "standoff": 8},
        "tickfont": {"size": 11, "color": MUTED.light},
        "gridcolor": GRID.light,
        "linecolor": AXIS.light,
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
        "automargin": True,
        **more,
    }


def layout(height: int, xaxis: dict[str, Any], yaxis: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A layout in the page's style: titles and legends are HTML, where they cannot overlap."""
    return {
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 14, "t": 10, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": INK.light},
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": SURFACE.light,
            "bordercolor": AXIS.light,
            "font": {"family": _FONT, "size": 12, "color": INK.light},
            "align": "left",
        },
        "xaxis": xaxis,
        "yaxis": yaxis,
        **more,
    }


def thinned(values: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of some ascending values, evenly picked, the last one included."""
    stride = -(-len(values) // most)
    return list(values[::-1][::stride][::-1])


def length_axis(seq_lens: Sequence[int], most: int = 5) -> dict[str, Any]:
    """A logarithmic axis of sequence lengths, ticks at measured ones."""
    ticks = thinned(sorted(set(seq_lens)), most)
    low, high = min(seq_lens), max(seq_lens)
    return axis(
        "Sequence length (tokens, 1k = 1,024)",
        type="log",
        tickvals=ticks,
        ticktext=[tokens(tick) for tick in ticks],
        range=log_range(low, high, 1.25),
    )


def log_ticks(low: float, high: float, most: int, show: Callable[[float], str]) -> dict[str, Any]:
    """Ticks of a logarithmic axis at round values: 1, 2 and 5 of each decade, or 1 alone."""
    decades = range(floor(log10(low)), floor(log10(high)) + 1)
    fine = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    inside = [tick for tick in fine if low <= tick <= high]
    whole = [10.0**power for power in decades if low <= 10.0**power <= high]
    ticks = inside if len(inside) <= most else whole[:: -(-len(whole) // most)]
    return {"tickvals": ticks, "ticktext": [show(tick) for tick in ticks]}


def linear_ticks(high: float, most: int, show: Callable[[float], str]) -> dict[str, Any]:
    """Ticks of an axis from 0 at steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(high / most))
    step = next(digit * power for digit in (1, 2, 5, 10) if high / (digit * power) <= most)
    ticks = [index * step for index in range(int(high / step) + 1)]
    return {"tickvals": ticks, "ticktext": [show(tick) for tick in ticks]}


def log_range(low: float, high: float, padding: float) -> list[float]:
    """A logarithmic axis's range around some values, widened by a factor on both sides."""
    return [log10(low / padding), log10(high * padding)]
