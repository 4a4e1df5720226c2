"""Servers that are led into overload slowly, each recorded with a scrape a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from kvwatch.embedded.scenarios import SCENARIOS, Scenario, Stage
from kvwatch.facts import Settings
from kvwatch.shell.backtest.sources import FromRecording, Past
from kvwatch.shell.emulator.recording import record_virtual

BASES = ("ramp", "seqcap", "chat")
"""Engines whose memory binds, whose seats bind, and whose requests share prompts and come in bursts."""
RAMP_MINUTES = (30, 60)
INTERVALS = (1, 5, 15, 30, 60)
"""Seconds between two scrapes; the first is what the others are held against."""
_STEADY_SECONDS, _FULL_SECONDS = 1800.0, 600.0


def scenario(base: str, minutes: int) -> Scenario:
    """Half an hour at half load, a ramp beyond what can be served, and ten minutes there."""
    stages = (
        Stage("const", _STEADY_SECONDS, 0.5, 0.5),
        Stage("ramp", 60.0 * minutes, 0.5, 1.2),
        Stage("const", _FULL_SECONDS, 1.2, 1.2),
    )
    return replace(SCENARIOS[base], name=f"{base}-{minutes}", stages=stages)


def recorded(base: str, minutes: int, seed: int, folder: Path) -> Path:
    """The recording of a case, made where it is not there."""
    case = scenario(base, minutes)
    path = folder / f"{case.name}-{seed}"
    if not path.is_dir():
        draft = path.with_suffix(".draft")
        record_virtual(case, draft, seconds=sum(stage.seconds for stage in case.stages), seed=seed)
        draft.rename(path)
    return path


class Thinned:
    """A recording of which every n-th scrape is left."""

    def __init__(self, folder: Path, every: int) -> None:
        self._recording = FromRecording(folder, 1.0)
        self._every = every
        self.interval_seconds = float(every)

    @property
    def settings(self) -> Settings:
        """Those of the server."""
        return self._recording.settings

    def scrapes(self, cache: Path) -> Iterator[Past]:
        """What is left."""
        return islice(self._recording.scrapes(cache), 0, None, self._every)
