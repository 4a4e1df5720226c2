"""``kvwatch run``: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from kvwatch.cli.common import CommandError, config_from_flags
from kvwatch.cli.state_place import with_state_file
from kvwatch.config import ValidatedConfig
from kvwatch.daemon import Daemon
from kvwatch.daemon.signals import serve
from kvwatch.shell.logging import setup


def execute(args: argparse.Namespace) -> None:
    """Run until a signal."""
    early: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: early.append(number))
    read = [config_from_flags(args)]
    setup(read[0].log.level, read[0].log.format)  # before the state file is read, which has things to say

    def load() -> ValidatedConfig:
        return with_state_file(read.pop() if read else config_from_flags(args), os.environ)

    daemon = Daemon(load)
    try:
        asyncio.run(serve(daemon, reload=bool(early)))
    except OSError as error:
        raise CommandError(f"cannot serve: {error.strerror or error}") from None
