"""All targets: facts are handed to theirs, and one view is made of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.model_run import ModelResult, ModelRun
from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.core.target import Target
from kvwatch.facts import EngineKey, Fact, Settings
from kvwatch.views import FleetView, SettingView

MANY_TARGETS = 16
"""Targets beyond which what costs something for each of them is done for some at a time [targets]. Measured:
bench/scale, where a view takes 1.1 to 1.9 ms, so that those of 16 hold up scrapes by 30 ms."""
_ROUNDS = 300
"""Rounds in which all of many targets are asked whether a run is due [rounds]. Choice: asked ten times a second, each
target comes once in the 30 s that must lie between two of its runs."""


class Fleet:
    """The whole state of kvwatch. Synchronous, without locks: one event loop owns it."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._targets: dict[str, Target] = {}
        self._model = FleetModel(options)
        self._viewed_at = float("-inf")
        self._in_turn = False
        """Whether views are made in turn, and not when they are asked for."""
        self._turns: list[str] = []
        """Targets that have yet to have their turn in this round."""
        self._round = 0

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
        if target in self._targets:
            self._targets[target].observe(fact)

    def settings_of(self, target: str) -> list[tuple[EngineKey, Mapping[str, SettingView]]]:
        """Settings of vLLM as they are used for each engine of a target."""
        return self._targets[target].settings() if target in self._targets else []

    def full_engines(self) -> list[tuple[str, EngineKey, FullEngineInputs]]:
        """Of each engine all that its rate at full load depends on, where that is known."""
        return [(name, key, inputs) for name, target in self._targets.items() for key, inputs in target.full_engines()]

    def keep_views(self, now: float) -> bool:
        """Of many targets make the views of the next one, for :meth:`view` to take; whether there was one to make.

        A view costs more than a scrape, and those of a thousand targets at once would hold up all scrapes for seconds.
        So whoever shows views calls this again and again, with pauses. With few targets it does nothing, and
        :meth:`view` makes the views.
        """
        self._in_turn = len(self._targets) > MANY_TARGETS
        for _ in range(len(self._targets) if self._in_turn else 0):
            if not self._turns:
                self._turns = list(self._targets)
            target = self._targets.get(self._turns.pop())
            if target is not None and target.keep_views(now):
                return True
        return False

    def take_due_runs(self, now: float) -> list[tuple[str, EngineKey, ModelRun]]:
        """Runs of the embedded engine to be made now, off the event loop; results go to :meth:`correct`.

        Where views are made in turn, some targets are looked at each time, and all within 300 times.
        """
        targets = list(self._targets.items())
        if self._in_turn:  # whether a run is due costs something to find out
            self._round = (self._round + 1) % _ROUNDS
            targets = targets[self._round :: _ROUNDS]
        return [(name, key, run) for name, t in targets for key, run in t.take_due_runs(now)]

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

    def restore(self, target: str, states: list[dict[str, object]], now: float = inf) -> None:
        """Take up what was dumped for a target that is watched, before its first scrape, at ``now`` [unix s].

        Raises StateError for a state that cannot be one.
        """
        if target in self._targets:
            self._targets[target].restore(states, now)

    def dump_models(self) -> dict[str, dict[str, list[float]]]:
        """The same of what is known of whole models only."""
        return self._model.dump()

    def restore_models(self, dumped: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Take up what was dumped of models, before the first view. Raises as :meth:`restore` does."""
        self._model.restore(dumped)

    def view(self, now: float) -> FleetView:
        """Everything known at time ``now`` [unix s]."""
        targets = tuple(t.view(now, kept=self._in_turn) for t in self._targets.values())
        models = self._model.update(max(now, self._viewed_at), targets) if self._options.whole_fleet else ()
        self._viewed_at = max(now, self._viewed_at)
        return FleetView(at=now, targets=targets, models=models)
