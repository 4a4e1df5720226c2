"""Flags of ``kvwatch simulate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvwatch.cli.flags.common import SubParsers, flag
from kvwatch.config.reader import duration, integer, number
from kvwatch.embedded.scenarios import SCENARIOS

_HELP = "run an embedded engine that serves vLLM's metrics"


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    scenarios = "\n".join(f"  {scenario.name:12} {scenario.summary}" for scenario in SCENARIOS.values())
    parser = commands.add_parser(
        "simulate",
        help=_HELP,
        description=f"{_HELP[0].upper()}{_HELP[1:]}, without a GPU and without vLLM. It models vLLM's scheduler and\n"
        "loads itself as the scenario says. With --output it writes a recording in virtual time and ends.\n\n"
        f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--scenario", choices=tuple(SCENARIOS), default="ramp", help="engine and load (default ramp)")
    parser.add_argument("--seed", type=flag(integer(0, 2**63 - 1)), default=0, metavar="N", help="default 0")
    parser.add_argument("--model-name", default="emulated", metavar="NAME", help="name of the model (default emulated)")
    live = parser.add_argument_group("live, in wall-clock time")
    live.add_argument("--host", default="127.0.0.1", help="address to serve on (default 127.0.0.1)")
    live.add_argument("--port", type=flag(integer(0, 65535)), help="port to serve on, 0 for a free one (default 8000)")
    live.add_argument(
        "--speed",
        type=flag(number(0.01, 100.0)),
        metavar="FACTOR",
        help="hardware and load this many times faster (default 1)",
    )
    live.add_argument("--request-log", type=Path, metavar="FILE", help="append a JSON line for each request that ends")
    live.add_argument(
        "--no-load", action="store_true", help="only what is sent to /v1/completions, not the scenario's load"
    )
    virtual = parser.add_argument_group("as a recording, in virtual time")
    virtual.add_argument("--output", type=Path, metavar="DIR", help="folder to write a recording to")
    virtual.add_argument("--duration", type=flag(duration(1.0, 1e6)), help='its length (default "10m")')
    virtual.add_argument("--interval", type=flag(duration(0.1, 60.0)), help='time between its scrapes (default "1s")')
