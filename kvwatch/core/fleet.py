"""All targets: facts are handed to theirs, and one view is made of all."""

from __future__ import annotations

from collections import defaultdict

from kvwatch.core.options import CoreOptions
from kvwatch.core.prescription import ModelResult, ModelRun
from kvwatch.core.target import Target
from kvwatch.facts import EngineKey, Fact, Settings
from kvwatch.queueing.capacity import replicas_required
from kvwatch.views import EngineView, FleetView


class Fleet:
    """The whole state of kvwatch. Synchronous, without locks: one event loop owns it."""

    def __init__(self, options: CoreOptions) -> None:
        self._options = options
        self._targets: dict[str, Target] = {}

    def add(self, target: str, settings: Settings = Settings()) -> None:  # noqa: B008 - frozen
        """Watch a target, or give one that is watched other settings; its state is kept."""
        if target in self._targets:
            self._targets[target].configure(settings)
        else:
            self._targets[target] = Target(target, self._options, settings)

    def remove(self, target: str) -> None:
        """Forget a target and all about it; unknown ones are ignored."""
        self._targets.pop(target, None)

    def observe(self, target: str, fact: Fact) -> None:
        """Take one fact; facts about targets that are not watched (any more) are ignored."""
        if target in self._targets:
            self._targets[target].observe(fact)

    def due_runs(self, now: float) -> list[tuple[str, EngineKey, ModelRun]]:
        """Runs of the embedded engine to be made now, off the event loop; results go to :meth:`correct`."""
        return [(name, key, run) for name, t in self._targets.items() for key, run in t.due_runs(now)]

    def correct(self, target: str, key: EngineKey, correction: ModelResult) -> None:
        """Take the result of a run."""
        if target in self._targets:
            self._targets[target].correct(key, correction)

    def dump(self) -> dict[str, list[dict[str, object]]]:
        """What is worth keeping over a restart, by target: plain numbers, strings, lists and objects."""
        return {name: target.dump() for name, target in self._targets.items()}

    def restore(self, target: str, states: list[dict[str, object]]) -> None:
        """Take up what was dumped for a target that is watched, before its first scrape.

        Raises ValueError, KeyError or TypeError for a state that cannot be one.
        """
        if target in self._targets:
            self._targets[target].restore(states)

    def view(self, now: float) -> FleetView:
        """Everything known at time ``now`` [unix s]."""
        targets = tuple(t.view(now) for t in self._targets.values())
        by_model: dict[str, list[EngineView]] = defaultdict(list)
        for target in targets:
            for engine in target.engines:
                by_model[engine.model_name].append(engine)
        required = {
            model: count
            for model, engines in by_model.items()
            if (count := _replicas(engines, self._options.target_utilization)) is not None
        }
        return FleetView(at=now, targets=targets, replicas_required=required)


def _replicas(engines: list[EngineView], target_utilization: float) -> float | None:
    """⌈Σλ/(mean μ · target ρ)⌉ over a model's engines; ``None`` unless λ is known of all and some μ."""
    arrivals = [list(e.arrival_rate.values())[-1] if e.arrival_rate else None for e in engines]
    known = [a for a in arrivals if a is not None]
    if len(known) < len(engines):
        return None
    if sum(known) == 0:
        return 0.0
    rates = [e.service_rate for e in engines if e.service_rate is not None]
    if not rates:
        return None
    return float(replicas_required(sum(known), sum(rates) / len(rates), target_utilization))
