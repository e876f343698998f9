"""What every page of sparq-perf shares: one frame, assets that are part of the file, and writing it in one go."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from sparq_perf.report.chart import Chart
from sparq_perf.report.chart_style import COLOURS, dark_counterparts

# The package whose frame, style, macros and chart script all pages share.
SHARED = "sparq_perf.report"
# Ways in which text inside <script> can end the script or start a comment in it; none is needed in JSON.
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_page(
    package: str,
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    figures: Iterable[Chart] | None = None,
    data: Mapping[str, Any] | None = None,
    filters: Mapping[str, Callable[..., str]] | None = None,
    **fields: Any,
) -> str:
    """A template of a package, which extends frame.html, as a page that is readable offline, light or dark.

    Args:
        package: where the template, the styles and the scripts are; macros may be this package's.
        template: the template's file name.
        styles: files that come after the style that all pages share.
        scripts: files that run on the page, after those that draw its charts.
        figures: the charts that it draws, each checked by plotly's own validators; None for a page without plotly.
        data: what scripts find in elements of these names.
        filters: for the template, by name.
        fields: what the template shows; everything in it is escaped.
    """
    data, own = dict(data or {}), [_asset(package, name) for name in scripts]
    if figures is not None:
        drawn = {chart.id: {"figure": chart.figure, "description": chart.description} for chart in _checked(figures)}
        data = {"page-data": {"figures": drawn, "dark": dark_counterparts()}, **data}
        own = [_plotly(), _asset(SHARED, "report.js"), *own]
    style = "".join([_asset(SHARED, "report.css"), *(_asset(package, name) for name in styles)])
    found = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, SHARED))]),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(filters or {})
    return found.get_template(template).render(
        colours=COLOURS,
        style=Markup(style),
        # Only these scripts may run, and nothing may be loaded from anywhere.
        script_hashes=_script_hashes(own),
        scripts=[Markup(script) for script in own],
        page_data={name: Markup(script_json(value)) for name, value in data.items()},
        **fields,
    )


def _checked(charts: Iterable[Chart]) -> Iterator[Chart]:
    import plotly.graph_objects as go  # half a second: only where there is a page to write

    for chart in charts:
        go.Figure(chart.figure)  # raises on a property or value that plotly does not know
        yield chart


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()  # type: ignore[no-any-return]


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


def script_json(data: Any) -> str:
    """JSON that can stand inside a script element, whatever strings it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, escape)
    return text


def _script_hashes(scripts: Sequence[str]) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)


def write_page(page: str, path: Path) -> None:
    """Write a page; a reader of ``path`` sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
