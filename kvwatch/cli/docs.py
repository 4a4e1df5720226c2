"""Writes the generated pages: ``python -m kvwatch.cli.docs DIR``."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from kvwatch.cli.main import make_parser
from kvwatch.config.docs import config_page, web_page
from kvwatch.export.docs import metrics_page

_HEAD = """\
# Command line

Generated from the parser of the command line; `python -m kvwatch.cli.docs docs` writes it again.
"""
_WIDTH = 100


def cli_page() -> str:
    """The help of every command as Markdown."""
    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    parts = [_HEAD, "## kvwatch", _block(parser)]
    for name, command in commands.choices.items():
        parts += [f"## kvwatch {name}", _block(command)]
    return "\n".join(parts)


def _block(parser: argparse.ArgumentParser) -> str:
    """A parser's help as an indented block, at a fixed width, whatever the terminal's."""
    base = parser.formatter_class

    class Fixed(base):  # type: ignore[misc,valid-type]
        def __init__(self, prog: str) -> None:
            super().__init__(prog, width=_WIDTH)

    parser.formatter_class = Fixed
    return "\n" + textwrap.indent(parser.format_help(), "    ")


PAGES: dict[str, Callable[[], str]] = {
    "metrics.md": metrics_page,
    "config.md": config_page,
    "cli.md": cli_page,
    "web.md": web_page,
}


def write(folder: Path) -> None:
    """Write every generated page to ``folder``."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
