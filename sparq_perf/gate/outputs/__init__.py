"""What the gate leaves for readers: text, JUnit, Markdown, annotations, JSON and a page; all of one view."""

from sparq_perf.gate.outputs.annotations import annotations
from sparq_perf.gate.outputs.junit import junit, junit_of_error
from sparq_perf.gate.outputs.markdown import markdown
from sparq_perf.gate.outputs.text import text_lines
from sparq_perf.gate.outputs.writing import outcome_json, write_text

__all__ = [
    "annotations",
    "junit",
    "junit_of_error",
    "markdown",
    "outcome_json",
    "text_lines",
    "write_text",
]
