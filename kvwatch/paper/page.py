"""A report as one page: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files


def whole_page(title: str, header: Iterable[str], main: Iterable[str], footer: str, more_style: str = "") -> str:
    """The page: ``header`` and ``main`` are HTML, ``title`` and ``footer`` text, ``more_style`` follows."""
    style = (files("kvwatch.paper") / "report.css").read_text(encoding="utf-8")
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{style}{more_style}</style></head>",
            "<body>",
            "<header>",
            *header,
            "</header>",
            "<main>",
            *main,
            "</main>",
            f"<footer>{escape(footer)}</footer>",
            "</body></html>\n",
        )
    )


TABLE_END = "</tbody></table></section>"
"""What follows the rows of a table."""


def table_head(title: str, *names: str, numbers: int | None = None) -> str:
    """The head of a table, which scrolls where it is too wide; columns from number ``numbers`` on hold numbers.

    ``title`` is for those who do not see the page, and no other table of the page has it.
    """
    css = ' class="n"'
    cells = "".join(
        f'<th scope="col"{css if numbers is not None and place >= numbers else ""}>{escape(name)}</th>'
        for place, name in enumerate(names)
    )
    head = f"<table><thead><tr>{cells}</tr></thead><tbody>"
    return f'<section class="scroll" aria-label="{escape(title)}" tabindex="0">{head}'
