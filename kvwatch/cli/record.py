"""``kvwatch record``: keep a server's scrapes on disk, to replay or to share."""

from __future__ import annotations

import argparse
import asyncio

from kvwatch.cli.common import CommandError, config_from_flags
from kvwatch.daemon.record import record
from kvwatch.shell.logging import setup
from kvwatch.shell.recordings.recorder import RecordingExistsError


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
    if not summary.scrapes:
        raise CommandError(f"{config.targets[0].name} gave no answer that can be recorded")
