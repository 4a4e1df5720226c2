"""Gives the core what it had learnt before a restart, and saves what it learns."""

from __future__ import annotations

import logging

from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.state_file import StateFile
from kvwatch.shell.tasks import sleep

SAVE_SECONDS = 60.0


class StateKeeper:
    """Between the core and the state file; without a file it does nothing."""

    def __init__(self, intake: Intake, file: StateFile | None) -> None:
        self._intake = intake
        self._file = file
        self._saved = file.load() if file is not None else {}

    def restore(self, target: str) -> None:
        """Give a target that has just been added its saved state, once."""
        states = self._saved.pop(target, None)
        if states and self._intake.restore(target, states):
            event(logging.INFO, "state_restored", target=target, engines=len(states))

    def save(self) -> None:
        """Save the states of all targets, with those saved before of targets that are not watched now."""
        if self._file is not None:
            self._file.save({**self._saved, **self._intake.dump()})

    async def keep_saving(self) -> None:
        """Save every minute, for ever."""
        while True:
            await sleep(SAVE_SECONDS)
            self.save()
