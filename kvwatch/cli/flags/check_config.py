"""Flags of ``kvwatch check-config``."""

from __future__ import annotations

from pathlib import Path

from kvwatch.cli.flags.common import SubParsers

_HELP = "check a configuration file and print every mistake in it"


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check-config",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ". Files that it names (tokens, certificates) are not opened.",
        allow_abbrev=False,
    )
    parser.add_argument("config", type=Path, metavar="FILE", help="the file to check")
