"""Flags of ``kvwatch record``."""

from __future__ import annotations

from pathlib import Path

from kvwatch.cli.flags.common import SubParsers, add_log_flags, add_target_flags, flag, target_url
from kvwatch.config.reader import duration

_HELP = "write a server's raw scrapes to a folder that replay reads"


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "record",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ". What was written stays readable if it is killed. "
        "A recording holds metrics only: no prompt, no answer, no secret.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--target", type=target_url, action="append", required=True, metavar="URL", help="address of the vLLM server"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write to; made if missing")
    parser.add_argument("--interval", type=flag(duration(0.1, 60.0)), help='time between scrapes (default "1s")')
    parser.add_argument(
        "--duration", type=flag(duration(0.1, 1e7)), help="how long to record (default: until a signal)"
    )
    add_target_flags(parser)
    add_log_flags(parser)
