"""``kvwatch record``: keep a server's scrapes on disk, to replay or to share."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from kvwatch.cli.common import (
    CommandError,
    SubParsers,
    add_log_flags,
    add_target_flags,
    config_from_flags,
    flag,
    target_url,
)
from kvwatch.config.reader import duration
from kvwatch.daemon.record import record
from kvwatch.shell.logging import setup
from kvwatch.shell.recordings.recorder import RecordingExistsError

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
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> None:
    """Record until a signal or the end of the duration."""
    config = config_from_flags(args)
    if len(config.targets) > 1:
        raise CommandError("one recording holds one target; start one recorder for each")
    setup(config.log.level, config.log.format)
    try:
        summary = asyncio.run(record(config.targets[0], config, args.output, args.duration))
    except RecordingExistsError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot write to {args.output}: {error.strerror or error}") from None
    print(f"{args.output}: {summary.scrapes} scrapes, {summary.failures} failed")
