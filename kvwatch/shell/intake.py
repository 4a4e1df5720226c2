"""The fleet as the daemon sees it: counted, logged, and guarded against its own bugs.

The core knows neither counters nor logs. Everything that reaches it goes through here, so that a fault in
the state of one target is caught, counted and logged while the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from kvwatch.core.absence import generates_nothing
from kvwatch.core.fleet import Fleet
from kvwatch.core.kept import StateError
from kvwatch.core.model_run import ModelResult, ModelRun
from kvwatch.core.target_health import NO_METRICS
from kvwatch.estimate import Reason
from kvwatch.export.setting_words import refutations
from kvwatch.facts import (
    EngineKey,
    Fact,
    RequestRecord,
    Scrape,
    ScrapeFailed,
    Settings,
    SettingSource,
    Stamped,
    moved,
)
from kvwatch.parse.logs import LogFact
from kvwatch.shell.logging import event
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.views import FleetView, TargetView

_BEGINS_AGAIN = "what is known of this target begins again"


@dataclass(slots=True)
class _Health:
    """What was last logged about a target."""

    failure: str | None = None
    seen: bool = False
    refusal: str = ""
    uncovered: set[EngineKey] = field(default_factory=set)
    """Engines that generate nothing."""
    settings: dict[SettingSource, Settings] = field(default_factory=dict)
    """What was last reported of its settings, by source."""
    refuted: frozenset[str] = frozenset()
    """What was last found wrong about them, in words."""
    unread_logs: dict[str, str] = field(default_factory=dict)
    """By path what is wrong with a log as a whole."""


class Intake:
    """Passes facts to the fleet and views back.

    ``ahead`` says how far the core's time is ahead of the wall clock [s], by which facts from outside are stamped.
    """

    def __init__(self, fleet: Fleet, metrics: SelfMetrics, ahead: Callable[[], float] = lambda: 0.0) -> None:
        self._fleet = fleet
        self._metrics = metrics
        self._ahead = ahead
        self._health: dict[str, _Health] = {}
        self._known_faults: set[tuple[str, str]] = set()

    def add(self, target: str, settings: Settings, role: str = "") -> None:
        """Begin to watch a target, or give a watched one other settings; the user's win over discovered ones."""
        if target not in self._health:
            self._health[target] = _Health()
            self._metrics.add_target(target)
        self._fleet.add(target, settings, role)

    def remove(self, target: str) -> None:
        """Forget a target and its counters."""
        self._fleet.remove(target)
        self._metrics.remove_target(target)
        if any(fault[1] == target for fault in self._known_faults):
            self._known_faults = {fault for fault in self._known_faults if fault[1] != target}
        del self._health[target]

    def observe(self, target: str, fact: Fact) -> None:
        """Count a fact, log a change of state, and hand it to the core. Never raises.

        A fact about a target that has been removed is dropped: a scrape may end after a reload.
        """
        health = self._health.get(target)
        if health is None:
            return
        if isinstance(fact, Stamped) and (seconds := self._ahead()):
            fact = moved(fact, seconds)
        self._account(target, health, fact)
        try:
            self._fleet.observe(target, fact)
        except Exception as error:
            self._fault("observe", error, target)
        else:
            self._known_faults.discard(("observe", target))
            if isinstance(fact, Scrape | Settings):
                self._doubt(target, health)

    def discovered(self, target: str, found: Iterable[Settings]) -> None:
        """Take what a look for a target's settings has brought, by source."""
        if target in self._health:
            found = list(found)
            known = any(settings != Settings(source=settings.source) for settings in found)
            self._metrics.count("kvwatch_settings_discoveries_total", target, "found" if known else "nothing")
            for settings in found:
                self.reported(target, settings)

    def reported(self, target: str, settings: Settings) -> None:
        """Take what a source says of a target's settings now; one that says what it said before is no news."""
        health = self._health.get(target)
        if health is not None and health.settings.get(settings.source, Settings(source=settings.source)) != settings:
            self.observe(target, settings)

    def logged(self, target: str, facts: Iterable[LogFact], results: Mapping[str, int]) -> None:
        """Take what lines of a target's logs have come to, and how many there were of each result. Never raises."""
        if target in self._health:
            for result, lines in results.items():
                self._metrics.count("kvwatch_log_lines_total", target, result, by=lines)
            for fact in facts:
                self.observe(target, fact)

    def judge_log(self, target: str, path: str, why: str) -> None:
        """Take whether a log is what it is configured as, and why not."""
        if target in self._health:
            self._metrics.put("kvwatch_log_source_recognized", target, path, value=float(not why))
            self._health[target].unread_logs[path] = why

    def forget_logs(self, target: str) -> None:
        """The target's logs are begun, or it has none any more."""
        if target in self._health:
            for path in self._health[target].unread_logs:
                self._metrics.forget("kvwatch_log_source_recognized", target, path)
            self._health[target].unread_logs.clear()

    def settings_from_log(self, target: str) -> Settings | None:
        """What a server has said of its settings in its log."""
        health = self._health.get(target)
        return health.settings.get(SettingSource.LOG) if health is not None else None

    def view(self, now: float) -> FleetView:
        """The fleet's view; an empty one, counted and logged, where the core fails. Never raises."""
        try:
            view = self._fleet.view(now)
        except Exception as error:
            self._fault("view", error, "")
            return FleetView(at=now)
        self._known_faults.discard(("view", ""))
        return replace(view, targets=tuple(self._with_logs(target) for target in view.targets))

    def _with_logs(self, target: TargetView) -> TargetView:
        """The view of a target with what is wrong with its logs among its problems."""
        health = self._health.get(target.target)
        wrong = [f"log {path}: {why}" for path, why in health.unread_logs.items() if why] if health is not None else []
        return replace(target, problem="; ".join(filter(None, [target.problem, *wrong]))) if wrong else target

    def keep_views(self, now: float) -> bool:
        """Make the views of one of many targets; false where there was none to make, or the core fails."""
        try:
            return self._fleet.keep_views(now)
        except Exception as error:
            self._fault("view", error, "")
            return False

    def take_due_runs(self, now: float) -> list[tuple[str, EngineKey, ModelRun]]:
        """Runs of the embedded engine that are to be made; none where the core fails. Never raises."""
        try:
            return self._fleet.take_due_runs(now)
        except Exception as error:
            self.model_fault("", error)
            return []

    def correct(self, target: str, key: EngineKey, correction: ModelResult) -> None:
        """Give the core the result of a run. Never raises."""
        try:
            self._fleet.correct(target, key, correction)
        except Exception as error:
            self.model_fault(target, error)
        else:
            self._known_faults.discard(("model", target))

    def dump(self) -> dict[str, list[dict[str, object]]]:
        """What is worth keeping over a restart; nothing where the core fails. Never raises."""
        try:
            return self._fleet.dump()
        except Exception as error:
            self._fault("dump", error, "")
            return {}

    def dump_target(self, target: str) -> list[dict[str, object]]:
        """What is worth keeping of one target; nothing where the core fails. Never raises."""
        try:
            return self._fleet.dump_target(target)
        except Exception as error:
            self._fault("dump", error, target)
            return []

    def __len__(self) -> int:
        """How many targets are watched."""
        return len(self._health)

    def targets(self) -> list[str]:
        """The targets that are watched."""
        return list(self._health)

    def restore(self, target: str, states: list[dict[str, object]], now: float = inf) -> bool:
        """Give a target what was saved, at ``now`` [unix s]; whether it could be used. Never raises."""
        try:
            self._fleet.restore(target, states, now)
        except StateError as error:
            event(logging.WARNING, "state_rejected", target=target, why=str(error), effect=_BEGINS_AGAIN)
            return False
        return True

    def dump_models(self) -> dict[str, dict[str, list[float]]]:
        """What is worth keeping of whole models; nothing where the core fails. Never raises."""
        try:
            return self._fleet.dump_models()
        except Exception as error:
            self._fault("dump", error, "")
            return {}

    def restore_models(self, dumped: dict[str, Any]) -> None:
        """Give the fleet what was saved of models; what cannot be any is logged. Never raises."""
        try:
            self._fleet.restore_models(dumped)
        except StateError as error:
            event(
                logging.WARNING,
                "models_rejected",
                why=str(error),
                effect="replicas required start again without history",
            )

    def model_fault(self, target: str, error: Exception) -> None:
        """A run of the embedded engine has failed."""
        self._fault("model", error, target)

    def task_fault(self, name: str, error: Exception) -> None:
        """A task that should never end has ended; it is about to be started again."""
        self._metrics.count("kvwatch_internal_errors_total", "task")
        event(logging.ERROR, "task_failed", task=name, error=repr(error), exc=error)

    def loop_fault(self, context: Mapping[str, Any]) -> None:
        """The event loop has caught what nobody else did; ``context`` is asyncio's for its exception handlers."""
        self._metrics.count("kvwatch_internal_errors_total", "loop")
        error = context.get("exception")
        event(logging.ERROR, "loop_error", message=context.get("message"), error=repr(error), exc=error)

    def _fault(self, place: str, error: Exception, target: str) -> None:
        self._metrics.count("kvwatch_internal_errors_total", place)
        if (place, target) not in self._known_faults:  # once, not once a second
            self._known_faults.add((place, target))
            event(logging.ERROR, "internal_error", place=place, target=target or None, error=repr(error), exc=error)

    def _account(self, target: str, health: _Health, fact: Fact) -> None:
        if isinstance(fact, RequestRecord):
            self._metrics.count("kvwatch_requests_ingested_total", target, fact.source)
        elif isinstance(fact, Scrape):
            self._metrics.count("kvwatch_scrapes_total", target, "success")
            self._metrics.put("kvwatch_target_engines", target, value=len(fact.engines))
            if fact.bad_lines:
                self._metrics.count("kvwatch_exposition_bad_lines_total", target, by=fact.bad_lines)
            if health.failure is not None or not health.seen:
                event(logging.INFO, "target_up", target=target, engines=len(fact.engines))
            _note_refusal(target, health, fact)
            _note_uncovered(target, health, fact)
            health.failure, health.seen = None, True
        elif isinstance(fact, ScrapeFailed):
            self._metrics.count("kvwatch_scrapes_total", target, fact.reason)
            self._metrics.forget("kvwatch_target_engines", target)
            if health.failure != fact.reason:
                event(logging.WARNING, "target_down", target=target, reason=fact.reason, detail=fact.detail)
            health.failure = fact.reason
        elif isinstance(fact, Settings):
            if fact != health.settings.get(fact.source):
                _log_settings(target, fact)
            health.settings[fact.source] = fact

    def _doubt(self, target: str, health: _Health) -> None:
        """Log what is said of a target's settings and has been found wrong, once."""
        refuted = frozenset(
            f"{key.model_name}/{key.engine}: {words}"
            for key, settings in self._fleet.settings_of(target)
            for words in refutations(settings)
        )
        for words in sorted(refuted - health.refuted):
            event(logging.WARNING, "setting_refuted", target=target, why=words)
        health.refuted = refuted


def _note_refusal(target: str, health: _Health, scrape: Scrape) -> None:
    """Log what a target shows that makes no engine, once for each reason."""
    refusal = scrape.refusal or ("" if scrape.engines else NO_METRICS)
    if refusal and refusal != health.refusal:
        name = "metrics_refused" if scrape.engines else "target_without_engines"
        event(logging.WARNING, name, target=target, why=refusal)
    health.refusal = refusal


def _log_settings(target: str, settings: Settings) -> None:
    event(
        logging.INFO,
        "settings_discovered",
        target=target,
        source=str(settings.source),
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        max_model_len=settings.max_model_len,
    )


def _note_uncovered(target: str, health: _Health, scrape: Scrape) -> None:
    """Log which engines kvwatch cannot say anything about but their arrivals, once for each."""
    shown = {sample.key for sample in scrape.engines}
    health.uncovered &= shown
    for sample in scrape.engines:
        if sample.key not in health.uncovered and generates_nothing(sample):
            health.uncovered.add(sample.key)
            event(
                logging.WARNING,
                "engine_not_covered",
                target=target,
                model_name=sample.key.model_name,
                engine=sample.key.engine,
                why=Reason.GENERATES_NOTHING.words,
            )
