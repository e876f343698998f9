"""What the gate's pages have in common: the report's style, and one file that needs nothing else."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from sparq_perf.report import wording
from sparq_perf.report.chart_style import COLOURS


def render_page(template: str, **fields: Any) -> str:
    """One of the gate's templates as a page that is readable offline, light or dark, from 420 pixels on."""
    environment = Environment(
        loader=PackageLoader("sparq_perf.gate"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent, count=wording.count, moment=wording.moment, breakable=_breakable
    )
    script = _asset("sparq_perf.gate", "filter.js")
    style = _asset("sparq_perf.report", "report.css") + _asset("sparq_perf.gate", "gate.css")
    return environment.get_template(template).render(
        colours=COLOURS,
        style=Markup(style),
        script=Markup(script),
        # Only this script may run, and nothing may be loaded from anywhere.
        script_hash=f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'",
        **fields,
    )


def _breakable(key: str) -> Markup:
    """A configuration's key that breaks between its parts, not within one."""
    return Markup(escape(key).replace("/", Markup("/<wbr>")))


def _asset(package: str, name: str) -> str:
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")
