"""A fleet of one engine: what kvwatch makes of its scrapes."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.capacity.correction import Correction
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Scrape, Settings
from kvwatch.views import EngineView

TARGET = "emulated"
OPTIONS = CoreOptions(model_max_age_seconds=30.0)


@dataclass(frozen=True, slots=True)
class Model:
    """What the last run of the embedded engine rested on, and what came of it."""

    inputs: FullEngineInputs
    correction: Correction | None


class Watcher:
    """Kvwatch's core with one target. Times are unix seconds."""

    def __init__(self, told: Settings, state: list[dict[str, object]] | None = None) -> None:
        self.fleet = Fleet(OPTIONS)
        self.fleet.add(TARGET, told)
        self.model: Model | None = None
        if state is not None:
            self.fleet.restore(TARGET, state)

    def observe(self, scrape: Scrape) -> None:
        """Take a scrape."""
        self.fleet.observe(TARGET, scrape)

    def refresh(self, at: float) -> None:
        """Make the runs of the embedded engine that are due, as a replay does."""
        for target, key, job in self.fleet.take_due_runs(at):
            correction = job.run()
            self.fleet.correct(target, key, correction)
            self.model = Model(job.inputs, correction)

    def view(self, at: float) -> EngineView:
        """The view of the engine."""
        (view,) = self.fleet.view(at).targets[0].engines
        return view
