"""A chart of a page."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure under the identifier that the page's template asks for.

    Attributes:
        figure: plotly's ``data`` and ``layout``, ready for JSON.
    """

    id: str
    name: str
    description: str
    figure: dict[str, Any]
