"""One scraped server: its engines, and whether what is known of them is fresh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.kept import StateError, refusing
from kvwatch.core.log_router import LogRouter
from kvwatch.core.model_run import ModelResult, ModelRun
from kvwatch.core.options import CoreOptions
from kvwatch.core.settings.setting_views import setting_views
from kvwatch.core.target_health import hung_engines, problem_of
from kvwatch.core.view import engine_view
from kvwatch.facts import (
    EngineKey,
    EngineSample,
    Fact,
    Iteration,
    RequestAborted,
    RequestRecord,
    RequestStarted,
    Scrape,
    ScrapeFailed,
    Settings,
    SettingSource,
)
from kvwatch.views import EngineView, SettingView, TargetView

_FORGET_SECONDS = 600.0
"""Time after which an engine that a server has stopped exporting is forgotten, and one of a server that does not answer
no longer waited for [s]. Choice: as long as the recording rules wait; a restart with a large model takes some
minutes."""
_KEPT_SECONDS = 5.0
"""Least time between two makings of a view that is kept [s]. Choice: less than any scrape interval of Prometheus in
use, so that none gets the same view twice."""
_MAX_ENGINES = 256
"""Engines of one server that are watched [engines]. Choice: memory; four times the largest data-parallel deployment
known."""
_MOST_NAME_CHARACTERS = 16_384
"""Longest name of a model or an engine in a state [characters]. Definition: that of a line of an exposition."""
Newcomers = dict[EngineKey, tuple[float, EngineSample, int]]
"""Engines that a server has shown once: when [unix s], how, and beside how many of its model's in all."""
_CONFIGURED = (SettingSource.CONFIG, SettingSource.RECORDING, SettingSource.UNKNOWN)
"""Sources of the settings that a target is added with."""


class Target:
    """State of one target. What is said of its settings is kept by source, and weighed by each of its engines."""

    def __init__(self, name: str, options: CoreOptions, configured: Settings) -> None:
        self.name = name
        self.role = ""
        self._options = options
        self._reports = {configured.source: configured}
        self._engines: dict[EngineKey, EngineEstimator] = {}
        self._newcomers: Newcomers = {}
        self._last_good: Scrape | None = None
        self._failure: ScrapeFailed | None = None
        self._now = float("-inf")
        self._kept: list[EngineView] = []
        self._kept_at = float("-inf")
        self._logs = LogRouter()

    def observe(self, fact: Fact) -> None:
        """Take one fact about this target."""
        match fact:
            case Scrape():
                self._scraped(fact)
            case ScrapeFailed():
                self._failure = fact
                self._now = max(self._now, fact.at)
            case Settings():
                self._reports[fact.source] = fact
                self._report()
            case RequestRecord() | RequestStarted() | RequestAborted() | Iteration():
                self._logs.take(fact, self._engines, self._shown, self._now)

    def configure(self, configured: Settings) -> None:
        """Replace the configured settings, keeping all state."""
        self._reports = {s: report for s, report in self._reports.items() if s not in _CONFIGURED}
        self._reports[configured.source] = configured
        self._report()

    def _report(self) -> None:
        for engine in self._engines.values():
            engine.report(self._reports)

    def full_engines(self) -> list[tuple[EngineKey, FullEngineInputs]]:
        """Of each engine all that its rate at full load depends on, where that is known."""
        found = ((key, engine.capacity.full_load.inputs) for key, engine in self._engines.items())
        return [(key, inputs) for key, inputs in found if inputs is not None]

    def settings(self) -> list[tuple[EngineKey, Mapping[str, SettingView]]]:
        """Settings of vLLM as they are used for each engine."""
        return [(key, setting_views(engine.settings.get(engine.last_at))) for key, engine in self._engines.items()]

    def _scraped(self, scrape: Scrape) -> None:
        if self._last_good is not None and scrape.at <= self._last_good.at:
            return
        is_first = self._last_good is None
        self._last_good, self._failure = scrape, None
        self._now = max(self._now, scrape.at)
        per_model = Counter(s.key.model_name for s in scrape.engines)
        newcomers: Newcomers = {}
        for sample in scrape.engines:
            now = scrape.at, sample, per_model[sample.key.model_name]
            engine = self._engines.get(sample.key)
            if engine is not None:
                engine.observe(*now)
            elif sample.key in self._newcomers:
                self._begin(sample.key, self._newcomers[sample.key], now)
            elif is_first:
                self._begin(sample.key, now)
            else:
                newcomers[sample.key] = now
        self._newcomers = newcomers
        shown = {sample.key for sample in scrape.engines}
        renamed = {EngineKey(key.model_name, key.engine.partition("@")[0]) for key in shown} - shown
        for key in [k for k, e in self._engines.items() if k in renamed or self._is_forgotten(e, scrape.at)]:
            del self._engines[key]  # one that is renamed, for there are several of its number now, is not missing
        self._logs.take_early(self._engines, self._shown, self._now)

    def _begin(self, key: EngineKey, *samples: tuple[float, EngineSample, int]) -> None:
        """Watch an engine from its first samples on, if there is a place.

        Those of the target's first scrape begin at once, others when they are shown again: where a label is another one
        at each scrape, estimators that live for seconds would leave the process twice as large as it need be.
        """
        if len(self._engines) >= _MAX_ENGINES:
            return
        engine = self._engines[key] = EngineEstimator(self._options)
        engine.report(self._reports)
        for sample in samples:
            engine.observe(*sample)

    @property
    def _shown(self) -> Collection[EngineKey]:
        """Engines that the server shows now; all that are known before it has shown any."""
        return {s.key for s in self._last_good.engines} if self._last_good is not None else self._engines.keys()

    def due_runs(self, now: float) -> list[tuple[EngineKey, ModelRun]]:
        """Runs of the embedded engine that are to be made now."""
        runs = [(key, engine.due_run(now)) for key, engine in self._engines.items()]
        return [(key, run) for key, run in runs if run is not None]

    def correct(self, key: EngineKey, correction: ModelResult) -> None:
        """Take the result of a run; one for an engine that is gone is ignored."""
        if key in self._engines:
            self._engines[key].correct(correction)

    def dump(self) -> list[dict[str, object]]:
        """What is worth keeping over a restart, by engine."""
        return [
            {"model_name": key.model_name, "engine": key.engine, **engine.dump()}
            for key, engine in self._engines.items()
        ]

    def restore(self, states: list[dict[str, object]], now: float) -> None:
        """Take up dumped states at ``now`` [unix s], all or none. Raises StateError for one that cannot be."""
        restored = {}
        for number, state in enumerate(states[:_MAX_ENGINES]):
            with refusing(f"engine {number}"):
                key = EngineKey(_name(state["model_name"]), _name(state["engine"]))
                engine = EngineEstimator(self._options)
                engine.restore(state, now)
                engine.report(self._reports)
                restored[key] = engine
        self._engines |= restored

    def view(self, now: float, *, kept: bool = False) -> TargetView:
        """Health, and estimates of the engines whose last sample is fresh; stale ones are withheld.

        With ``kept`` the estimates are those that :meth:`keep_views` has made.
        """
        last = self._last_good
        made_at = self._kept_at if kept else now
        engines = tuple(self._kept_views(now) if kept else self._made_views(now))
        stalled = {key: engine.seen_at for key, engine in self._engines.items() if engine.progress.get(now)}
        stale_after = self._options.stale_after_seconds
        fresh = last is not None and now - last.at <= stale_after
        return TargetView(
            target=self.name,
            up=fresh and self._failure is None and not (stalled and len(stalled) == len(self._engines)),
            scrape_age_seconds=now - last.at if last is not None else None,
            scrape_duration_seconds=last.duration_seconds if last is not None else None,
            engines=engines,
            problem=problem_of(last, self._failure, stalled, stale=not fresh),
            log_lines_unattributed=self._logs.unattributed,
            role=self.role,
            hung=hung_engines(self.name, stalled, now, stale_after),
            withheld=tuple(key.model_name for key, engine in self._engines.items() if self._is_withheld(engine, now)),
            unviewed=self._unviewed(now) if kept else (),
            estimates_age_seconds=now - made_at if made_at > 0 else None,
        )

    def _unviewed(self, now: float) -> tuple[str, ...]:
        viewed = {(view.model_name, view.engine) for view in self._kept}
        fresh = (key for key, engine in self._engines.items() if not self._is_stale(engine, now))
        return tuple(key.model_name for key in fresh if (key.model_name, key.engine) not in viewed)

    def keep_views(self, now: float) -> bool:
        """Make the engines' views now, for :meth:`view` to take.

        False, and none made, where no scrape is newer than they are, or they were made a few seconds ago.
        """
        if self._last_good is None or self._last_good.at <= self._kept_at or now - self._kept_at < _KEPT_SECONDS:
            return False
        self._kept, self._kept_at = self._made_views(now), now
        return True

    def _kept_views(self, now: float) -> list[EngineView]:
        fresh = {
            (key.model_name, key.engine) for key, engine in self._engines.items() if not self._is_stale(engine, now)
        }
        return [view for view in self._kept if (view.model_name, view.engine) in fresh]

    def _made_views(self, now: float) -> list[EngineView]:
        views = []
        for key, engine in sorted(self._engines.items(), key=lambda item: (item[0].model_name, item[0].engine)):
            if not self._is_stale(engine, now):
                view = engine_view(self.name, key, engine, self._options)
                if view is not None:
                    views.append(view)
        return views

    def _is_stale(self, engine: EngineEstimator, now: float) -> bool:
        return now - engine.seen_at > self._options.stale_after_seconds or engine.progress.get(now)

    def _is_forgotten(self, engine: EngineEstimator, now: float) -> bool:
        """Whether an engine that is no longer shown is gone for good; one that hardly was has nothing to be missed.

        So a server that makes up names, scrape after scrape, neither takes all places nor counts as a fleet.
        """
        stale_after = self._options.stale_after_seconds
        shown_seconds = engine.seen_at - engine.first_at
        return now - engine.seen_at > (_FORGET_SECONDS if shown_seconds > stale_after else stale_after)

    def _is_withheld(self, engine: EngineEstimator, now: float) -> bool:
        """Whether it may have traffic that is not seen; not one of a state file that this process has never read."""
        return self._is_stale(engine, now) and now - engine.seen_at <= _FORGET_SECONDS


def _name(found: object) -> str:
    if not isinstance(found, str) or len(found) > _MOST_NAME_CHARACTERS:
        raise StateError("model_name and engine must be text")
    return found
