"""``kvwatch replay``: what kvwatch would have said, over a recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from kvwatch.cli.common import CommandError, SubParsers, flag
from kvwatch.cli.table import print_table
from kvwatch.config.log_sources import time_zone
from kvwatch.config.reader import Faults, duration
from kvwatch.export.json_api import fleet_json
from kvwatch.parse.logs import FORMATS, FieldMap, LogFormat, spelled
from kvwatch.shell.recordings.replay import RecordedLog, Recording, RecordingError, replay
from kvwatch.shell.tail import utc_offset
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
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Print one view after another."""
    recording = Recording(args.folder, lambda words: print(f"{args.folder}: {words}", file=sys.stderr))
    try:
        logs = _logs(args, recording)
    except RecordingError as error:
        raise CommandError(str(error)) from None
    every = args.every if args.every is not None else _TABLE_EVERY_SECONDS if args.format == "table" else 0.0
    count = 0

    def counted() -> Iterator[FleetView]:
        nonlocal count
        for view in replay(recording, requests=args.requests, logs=logs):
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


def time_zone_name(text: str) -> str:
    """An argparse type for a time zone."""
    faults: Faults = []
    name = time_zone(text, "", faults)
    if name is None:
        raise argparse.ArgumentTypeError(faults[0].message)
    return name


def _logs(args: argparse.Namespace, recording: Recording) -> list[RecordedLog]:
    """The logs that the flags ask for."""
    offset = utc_offset(args.log_time_zone)
    formats = args.log_format * len(args.log) if len(args.log_format) == 1 else args.log_format
    if len(formats) != len(args.log):
        raise CommandError("give one --log-format for each --log, or one for all of them")
    tenant = FieldMap({"tenant": spelled(args.log_tenant)} if args.log_tenant else {})
    logs = [RecordedLog(path, LogFormat(name, tenant), offset) for path, name in zip(args.log, formats, strict=True)]
    return [*([recording.server_log(offset)] if args.server_log else []), *logs]


def _thin(views: Iterable[FleetView], every_seconds: float) -> Iterator[FleetView]:
    """The first view, then each that is ``every_seconds`` or more after the last one kept."""
    last = float("-inf")
    for view in views:
        if view.at - last >= every_seconds:
            last = view.at
            yield view
