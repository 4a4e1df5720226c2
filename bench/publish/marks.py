"""Figures in a text: what stands between ``<!--=NAME-->`` and ``<!--/-->`` is written by the figure of that name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_MARK = re.compile(r"(<!--=(?P<name>[\w.]+)-->)(?P<text>.*?)(<!--/-->)", re.DOTALL)


def filled(text: str, figures: Mapping[str, Callable[[], str]]) -> str:
    """The text with all of its figures as they are now.

    A figure of several lines gets lines of its own. Raises KeyError for a name that no figure has, and ValueError where
    a mark has no end, an end no mark, or where the mark of a figure within a sentence begins a line.
    """
    if not len(_MARK.findall(text)) == text.count("<!--=") == text.count("<!--/-->"):
        raise ValueError("a figure's mark has no end, or an end no mark")

    def replaced(match: re.Match[str]) -> str:
        figure = figures[match["name"]]()
        if "\n" not in figure and not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip():
            raise ValueError(f"{match['name']}: Markdown takes a line that begins with a comment for HTML")
        return match[1] + (f"\n{figure}\n" if "\n" in figure else figure) + match[4]

    return _MARK.sub(replaced, text)


def names(text: str) -> list[str]:
    """Names of the figures in a text, in its order."""
    return [match["name"] for match in _MARK.finditer(text)]
