"""``kvwatch replay``: what kvwatch would have said, over a recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from kvwatch.cli.common import CommandError, SubParsers, flag
from kvwatch.cli.table import print_table
from kvwatch.config.reader import duration
from kvwatch.export.json_api import fleet_json
from kvwatch.shell.replay import Recording, RecordingError, replay
from kvwatch.views import FleetView

_HELP = "run the estimates over a recording, in recorded time"
_TABLE_EVERY_SECONDS = 10.0


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
        metavar="DIR",
        help="folder with scrapes.jsonl.gz or scrapes.jsonl, and settings.json where there is one",
    )
    parser.add_argument(
        "--requests", action="store_true", help="also read requests.jsonl: the exact lengths of each request"
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
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Print one view after another."""
    recording = Recording(args.folder, lambda words: print(f"{args.folder}: {words}", file=sys.stderr))
    every = args.every if args.every is not None else _TABLE_EVERY_SECONDS if args.format == "table" else 0.0
    count = 0

    def counted() -> Iterator[FleetView]:
        nonlocal count
        for view in replay(recording, requests=args.requests):
            count += 1
            yield view

    try:
        views = _thin(counted(), every)
        if args.format == "json":
            for view in views:
                sys.stdout.buffer.write(orjson.dumps(fleet_json(view), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            sys.stdout.buffer.flush()
        else:
            print_table(views)
    except RecordingError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(f"cannot read {error.filename or args.folder}: {error.strerror}") from None
    if count == 0:
        raise CommandError(f"{args.folder} holds no scrape that can be read")


def _thin(views: Iterable[FleetView], every_seconds: float) -> Iterator[FleetView]:
    """The first view, then each that is ``every_seconds`` or more after the last one kept."""
    last = float("-inf")
    for view in views:
        if view.at - last >= every_seconds:
            last = view.at
            yield view
