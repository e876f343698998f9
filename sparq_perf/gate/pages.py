"""What the gate's pages have in common."""

from typing import Any

from markupsafe import Markup, escape

from sparq_perf.report import page, wording


def render_page(template: str, **fields: Any) -> str:
    """One of the gate's templates as a page that is readable offline, light or dark, from 420 pixels on."""
    return page.render_page(
        "sparq_perf.gate",
        template,
        styles=["gate.css"],
        scripts=["filter.js"],
        filters={
            "percent": wording.percent,
            "count": wording.count,
            "moment": wording.moment,
            "breakable": _breakable,
        },
        **fields,
    )


def _breakable(key: str) -> Markup:
    """A configuration's key that breaks between its parts, not within one."""
    return Markup(escape(key).replace("/", Markup("/<wbr>")))
