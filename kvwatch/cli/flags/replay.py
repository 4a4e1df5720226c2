"""Flags of ``kvwatch replay``."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvwatch.cli.flags.common import SubParsers, flag
from kvwatch.config.log_sources import time_zone
from kvwatch.config.reader import Faults, duration
from kvwatch.parse.logs import FORMATS

_HELP = "run the estimates over a recording, in recorded time"


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help=_HELP,
        description=_HELP[0].upper() + _HELP[1:] + ". Damaged lines are reported on standard error and skipped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="PATH",
        help="a folder of kvwatch record; or a file of another tool: AIPerf's server_metrics_export.jsonl or .parquet, "
        "OpenMetrics with a time for each sample, or what promtool tsdb dump prints",
    )
    parser.add_argument("--server", metavar="NAME", help="which server of a file that has several")
    parser.add_argument(
        "--requests", action="store_true", help="also read requests.jsonl: the exact lengths of each request"
    )
    parser.add_argument(
        "--server-log",
        action="store_true",
        help="also read server.log.gz, vLLM's own log: arrivals, aborts, engine steps, settings",
    )
    parser.add_argument(
        "--log",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="also read this log, gzipped or not; may be given several times, each with its --log-format",
    )
    parser.add_argument(
        "--log-format",
        choices=[name for name in FORMATS if name != "json"],
        action="append",
        default=[],
        help="what writes the log: one for each --log, or one for all",
    )
    parser.add_argument(
        "--log-tenant",
        metavar="PATH",
        help="field of the logs' lines that names whom a request is charged to, such as metadata.user",
    )
    parser.add_argument(
        "--log-time-zone",
        type=time_zone_name,
        default="UTC",
        metavar="ZONE",
        help='zone of time stamps that name none, as vLLM\'s do, such as "Europe/Berlin" (default UTC)',
    )
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="a table for people (default), or one JSON object a scrape, one a line",
    )
    parser.add_argument(
        "--every",
        type=flag(duration(0.0, 86400.0)),
        metavar="DURATION",
        help='least recorded time between two rows or objects (default: "10s" for the table, every scrape for JSON)',
    )


def time_zone_name(text: str) -> str:
    """An argparse type for a time zone."""
    faults: Faults = []
    name = time_zone(text, "", faults)
    if name is None:
        raise argparse.ArgumentTypeError(faults[0].message)
    return name
