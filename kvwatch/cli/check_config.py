"""``kvwatch check-config``: every mistake of a configuration file, without starting anything."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvwatch.cli.common import SubParsers
from kvwatch.config import load_config

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
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Check the file; faults leave as ConfigError."""
    config = load_config(args.config)
    count = len(config.targets)
    print(f"{args.config}: valid, {count} target{'' if count == 1 else 's'}")
