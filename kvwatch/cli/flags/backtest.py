"""Flags of ``kvwatch backtest``."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from kvwatch.cli.flags.common import SubParsers, flag
from kvwatch.config.reader import duration, integer
from kvwatch.constants import DAY_SECONDS

_HELP = "what kvwatch's alerts and yours would have done, over what a Prometheus has kept"
_EPILOG = """\
examples:
  kvwatch backtest --prometheus http://prometheus:9090 --start 7d --rules my.rules.yaml --max-num-seqs 256
  kvwatch backtest --recording incident/ --output incident.html --output incident.json

A run that is killed goes on where it was when the same command is given again. Nothing is written to the Prometheus.
"""
DEFAULT_OUTPUT = Path("backtest.html")
SUFFIXES = (".html", ".md", ".json")
QUEUE_SECONDS = 120.0
"""How long requests wait at one engine without a break until it counts as an incident, by default [s]. Choice: what a
burst leaves behind is worked off within one or two lives of a request."""
LONGEST_SECONDS = 366 * DAY_SECONDS
"""How far back a relative time may lie [s]. Choice: longer than Prometheis keep."""


def add(commands: SubParsers) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "backtest",
        help=_HELP,
        description="Runs the estimates over the past of vLLM servers, evaluates kvwatch's alerts over them, and holds"
        "\ntheir pages, and those of your own rules, against the queues that there were.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prometheus", metavar="URL", help="base address of a Prometheus, or of what speaks like one")
    source.add_argument(
        "--recording",
        type=Path,
        action="append",
        metavar="PATH",
        help="in place of a Prometheus a folder that kvwatch record has written, or a file of another tool: AIPerf's "
        "server_metrics_export.jsonl or .parquet, OpenMetrics with a time for each sample, or what promtool tsdb dump "
        "prints; may be given several times",
    )
    parser.add_argument(
        "--start",
        type=moment,
        metavar="TIME",
        help='beginning: a date or time such as "2026-11-01" or "2026-11-01T09:00:00Z", unix seconds, or how long ago, '
        'such as "7d" (default "7d")',
    )
    parser.add_argument("--end", type=moment, metavar="TIME", help="end, in the same forms (default now)")
    parser.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="only servers with these labels, such as 'namespace=\"prod\"'; may be given several times",
    )
    parser.add_argument("--rules", type=Path, metavar="FILE", help="your own rule file, to be held beside kvwatch's")
    parser.add_argument(
        "--output",
        type=output_file,
        action="append",
        default=[],
        metavar="FILE",
        help=f"where the report goes: .html, .md or .json; may be given several times (default {DEFAULT_OUTPUT})",
    )
    parser.add_argument(
        "--queue-for",
        type=flag(duration(1.0, 86400.0)),
        default=QUEUE_SECONDS,
        help='how long requests wait without a break until it counts as a queue (default "2m")',
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="kvwatch.yaml: its estimates, and the settings of its targets"
    )
    _add_settings(parser)
    _add_access(parser)
    _add_work(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    tokens = flag(integer(1, 2**31 - 1))
    group = parser.add_argument_group("about servers that --config does not name")
    group.add_argument(
        "--max-num-seqs",
        type=tokens,
        metavar="N",
        help="vLLM's --max-num-seqs; no metric has it, and without it the service rate is an upper bound",
    )
    group.add_argument("--max-num-batched-tokens", type=tokens, metavar="N", help="vLLM's --max-num-batched-tokens")
    group.add_argument("--max-model-len", type=tokens, metavar="N", help="vLLM's --max-model-len")


def _add_access(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("about the Prometheus")
    group.add_argument("--bearer-token-file", type=Path, metavar="FILE", help="file that holds a bearer token")
    group.add_argument("--username", help="for basic authentication, with --password-file")
    group.add_argument("--password-file", type=Path, metavar="FILE", help="file that holds the password")
    group.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="certificates that are trusted, in place of the system's"
    )
    group.add_argument("--cert-file", type=Path, metavar="FILE", help="certificate that is shown to it")
    group.add_argument("--key-file", type=Path, metavar="FILE", help="the key of --cert-file")
    group.add_argument("--insecure-skip-verify", action="store_true", help="trust any certificate")
    group.add_argument(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header for each request, such as X-Scope-OrgID:team; may be given several times",
    )
    group.add_argument(
        "--timeout", type=flag(duration(1.0, 3600.0)), default=60.0, help='longest time for an answer (default "60s")'
    )
    group.add_argument(
        "--queries-per-second",
        type=rate,
        default=10.0,
        metavar="N",
        help="how much it is asked at most, by all processes together (default 10)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how the work is done")
    group.add_argument(
        "--every",
        type=flag(duration(1.0, 300.0)),
        help="least time between two estimates, as a Prometheus would scrape kvwatch (default: 15s up to two days, "
        "60s beyond)",
    )
    group.add_argument(
        "--processes",
        type=flag(integer(1, 1024)),
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        metavar="N",
        help="processes that share the servers (default: one for each core)",
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="a Dask cluster that shares the servers instead, and sees --checkpoint's folder",
    )
    group.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="folder to work in (default: one in the user's cache, taken away at the end)",
    )
    group.add_argument("--fresh", action="store_true", help="begin again, whatever a killed run has left")


def moment(text: str) -> tuple[str, float]:
    """An argparse type for a time: ("at", unix seconds), or ("ago", seconds)."""
    try:
        return "at", float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        ago = flag(duration(0.0, LONGEST_SECONDS))(f"{float(text[:-1]) * 24:g}h" if _is_days(text) else text)
        return "ago", float(str(ago))
    return "at", (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _is_days(text: str) -> bool:
    return text.endswith("d") and text[:-1].replace(".", "", 1).isdigit()


def output_file(text: str) -> Path:
    """An argparse type for a report's file."""
    path = Path(text)
    if path.suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} ends in none of {', '.join(SUFFIXES)}")
    return path


def header(text: str) -> tuple[str, str]:
    """An argparse type for a header."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME:VALUE")
    return name.strip(), value.strip()


def rate(text: str) -> float:
    """An argparse type for a number of questions a second."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from above 0 to 1000")
    return value
