"""All targets: facts are handed to theirs, and one view is made of all."""

from __future__ import annotations

from kvwatch.core.fleet_model import FleetModel
from kvwatch.core.options import CoreOptions
from kvwatch.core.prescription import ModelResult, ModelRun
from kvwatch.core.target import Target
from kvwatch.facts import EngineKey, Fact, Scrape, Settings
from kvwatch.views import FleetView

_MANY_TARGETS = 64
_SCRAPES_PER_VIEW_RATIO = 0.15
"""Scrapes from one view to the next, for each target: a view costs ten times a scrape, and all at once would take
seconds in which nothing is scraped. At one scrape a second a view is as old as this times the targets, in seconds."""
_VIEW_AGE_RATIO = 0.1
_ROUNDS = 30
"""Of many targets a thirtieth is looked at each second."""


class Fleet:
    """The whole state of kvwatch. Synchronous, without locks: one event loop owns it."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._targets: dict[str, Target] = {}
        self._model = FleetModel(options)
        self._viewed_at = float("-inf")
        self._scrapes_since_view = 0

    def add(self, target: str, settings: Settings = Settings(), role: str = "") -> None:  # noqa: B008 - frozen
        """Watch a target, or give one that is watched other settings; its state is kept."""
        if target in self._targets:
            self._targets[target].configure(settings)
        else:
            self._targets[target] = Target(target, self._options, settings)
        self._targets[target].role = role

    def remove(self, target: str) -> None:
        """Forget a target and all about it; unknown ones are ignored."""
        self._targets.pop(target, None)

    def observe(self, target: str, fact: Fact) -> None:
        """Take one fact; facts about targets that are not watched (any more) are ignored."""
        if target not in self._targets:
            return
        self._targets[target].observe(fact)
        if isinstance(fact, Scrape):
            self._keep_views(self._targets[target], fact.at)

    def _keep_views(self, target: Target, now: float) -> None:
        """Of many targets make the views one after another, each some scrapes after the one before.

        It is scrapes that are counted, so that where these are slow the views do not slow them down further.
        """
        count = len(self._targets)
        if count <= _MANY_TARGETS:
            target.drop_views()
            return
        self._scrapes_since_view += 1
        due = self._scrapes_since_view >= _SCRAPES_PER_VIEW_RATIO * count
        if target.keep_views(now, _VIEW_AGE_RATIO * count if due else None):
            self._scrapes_since_view = 0

    def due_runs(self, now: float) -> list[tuple[str, EngineKey, ModelRun]]:
        """Runs of the embedded engine to be made now, off the event loop; results go to :meth:`correct`."""
        targets = list(self._targets.items())
        if len(targets) > _MANY_TARGETS:  # whether a run is due costs something to find out
            targets = targets[int(now) % _ROUNDS :: _ROUNDS]
        return [(name, key, run) for name, t in targets for key, run in t.due_runs(now)]

    def correct(self, target: str, key: EngineKey, correction: ModelResult) -> None:
        """Take the result of a run."""
        if target in self._targets:
            self._targets[target].correct(key, correction)

    def dump(self) -> dict[str, list[dict[str, object]]]:
        """What is worth keeping over a restart, by target: plain numbers, strings, lists and objects."""
        return {name: target.dump() for name, target in self._targets.items()}

    def dump_target(self, target: str) -> list[dict[str, object]]:
        """The same of one target; nothing where it is not watched."""
        return self._targets[target].dump() if target in self._targets else []

    def restore(self, target: str, states: list[dict[str, object]]) -> None:
        """Take up what was dumped for a target that is watched, before its first scrape.

        Raises ValueError, KeyError or TypeError for a state that cannot be one.
        """
        if target in self._targets:
            self._targets[target].restore(states)

    def view(self, now: float) -> FleetView:
        """Everything known at time ``now`` [unix s]."""
        targets = tuple(t.view(now) for t in self._targets.values())
        models = self._model.update(max(now, self._viewed_at), targets) if self._options.whole_fleet else ()
        self._viewed_at = max(now, self._viewed_at)
        return FleetView(at=now, targets=targets, models=models)
