"""Text and tables in Markdown that show what data says, whatever that holds."""

import re
from collections.abc import Iterable, Sequence

# Everything that Markdown gives a meaning, HTML and GitHub's references to people, issues and formulas included.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#|~$@!])")


def escape(text: str) -> str:
    """Text that a renderer shows as it is."""
    flat = " ".join(text.split())
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        flat = flat.replace(character, entity)
    flat = _SPECIAL.sub(r"\\\1", flat)
    return flat.replace("://", ":&#47;/").replace("www.", "www&#46;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table of cells that are Markdown already; columns of ``numbers`` stand to the right."""
    right = set(numbers)
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
