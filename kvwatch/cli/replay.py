"""``kvwatch replay``: what kvwatch would have said, over a recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

import orjson

from kvwatch.cli.common import CommandError
from kvwatch.cli.table import print_table, time_of_day
from kvwatch.export.json_api import fleet_json
from kvwatch.parse.logs import FieldMap, LogFormat, spelled
from kvwatch.shell.recordings.replay import RecordedLog, Recording, RecordingError, one_recording, replay
from kvwatch.shell.tail import utc_offset
from kvwatch.views import FleetView

_TABLE_EVERY_SECONDS = 10.0
"""Least recorded time between two rows of the table. Choice: an hour fills some screens."""


def execute(args: argparse.Namespace) -> None:
    """Print one view after another."""
    try:
        recording = one_recording(
            args.folder, lambda words: print(f"{args.folder}: {words}", file=sys.stderr), args.server
        )
        logs = _logs(args, recording)
    except RecordingError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot read {args.folder}: {error.strerror}") from None
    every = args.every if args.every is not None else _TABLE_EVERY_SECONDS if args.format == "table" else 0.0
    count = 0

    told: set[str] = set()

    def counted() -> Iterator[FleetView]:
        nonlocal count
        for view in replay(recording, requests=args.requests, logs=logs):
            count += 1
            if args.format == "json":  # the table has a row for them
                _tell(view, told)
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


def _tell(view: FleetView, told: set[str]) -> None:
    """Say on standard error, once each, what keeps a target from having engines, which the objects only lack."""
    for target in view.targets:
        if target.problem and target.problem not in told:
            told.add(target.problem)
            print(f"{target.target}: from {time_of_day(view.at)} on: {target.problem}", file=sys.stderr)


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
