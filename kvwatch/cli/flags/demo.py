"""Flags of ``kvwatch demo``."""

from __future__ import annotations

import argparse

from kvwatch.cli.flags.common import SubParsers, flag, listen_address
from kvwatch.config import ServerConfig
from kvwatch.config.reader import duration, integer, number
from kvwatch.embedded.scenarios import DEMO

_HELP = "watch kvwatch follow an embedded engine into overload"
HOST = "127.0.0.1"
DEFAULT_PORT = ServerConfig().port
LENGTH_SECONDS = max(sum(stage.seconds for stage in scenario.stages) for scenario in DEMO.values())
"""One round of the load at speed 1."""


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help=_HELP,
        description="Two embedded engines that look like vLLM, without a GPU: one under steady load, one ramping from\n"
        "0.2 to 1.3 of what it can sustain. kvwatch watches both over HTTP and says what it sees, and when\n"
        "the usual alerts would have fired. It ends by itself; Ctrl-C ends it with what is known so far.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--duration",
        type=flag(duration(1.0, 86400.0)),
        help=f'how long to run (default: one round of the load, "{LENGTH_SECONDS / 60:g}m" at speed 1)',
    )
    parser.add_argument(
        "--speed",
        type=flag(number(0.1, 10.0)),
        default=1.0,
        metavar="FACTOR",
        help="hardware, load and the waiting times of the usual alerts this many times faster; at 4 the "
        "story takes 90 s (default 1)",
    )
    parser.add_argument("--seed", type=flag(integer(0, 2**63 - 1)), default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--listen",
        type=listen_address,
        metavar="HOST:PORT",
        help=f"where kvwatch serves (default {HOST}:{DEFAULT_PORT}, or a free port if that is taken)",
    )
    parser.add_argument("--plain", action="store_true", help="lines of text, no live table, even in a terminal")
