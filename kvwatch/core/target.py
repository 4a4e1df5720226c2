"""One scraped server: its engines, and whether what is known of them is fresh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.freshness import gone, is_stale, is_withheld
from kvwatch.core.kept import key_of, refusing
from kvwatch.core.kept_views import KeptViews
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

_MAX_ENGINES = 256
"""Engines of one server that are watched [engines]. Choice: memory; four times the largest data-parallel deployment
known."""
Newcomers = dict[EngineKey, tuple[tuple[float, EngineSample, int]]]
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
        self._kept = KeptViews()
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
            elif is_first or sample.key in self._newcomers:
                self._begin(sample.key, *self._newcomers.get(sample.key, ()), now)
            else:
                newcomers[sample.key] = (now,)
        self._newcomers = newcomers
        for key in gone(self._engines, self._shown, scrape.at, self._options.stale_after_seconds):
            del self._engines[key]
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

    def take_due_runs(self, now: float) -> list[tuple[EngineKey, ModelRun]]:
        """Runs of the embedded engine that are to be made now."""
        runs = [(key, engine.take_due_run(now)) for key, engine in self._engines.items()]
        return [(key, run) for key, run in runs if run is not None]

    def correct(self, key: EngineKey, correction: ModelResult) -> None:
        """Take the result of a run; one for an engine that is gone is ignored."""
        if key in self._engines:
            self._engines[key].correct(correction)

    def dump(self) -> list[dict[str, object]]:
        """What is worth keeping over a restart, by engine."""
        return [{"model_name": k.model_name, "engine": k.engine, **e.dump()} for k, e in self._engines.items()]

    def restore(self, states: list[dict[str, object]], now: float) -> None:
        """Take up dumped states at ``now`` [unix s], all or none. Raises StateError for one that cannot be."""
        restored = {}
        for number, state in enumerate(states[:_MAX_ENGINES]):
            with refusing(f"engine {number}"):
                key = key_of(state)
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
        made_at = self._kept.at if kept else now
        fresh_engines = self._fresh(now) if kept else ()
        stalled = {key: engine.seen_at for key, engine in self._engines.items() if engine.progress.get(now)}
        stale_after = self._options.stale_after_seconds
        fresh = last is not None and now - last.at <= stale_after
        return TargetView(
            target=self.name,
            up=fresh and self._failure is None and not (stalled and len(stalled) == len(self._engines)),
            scrape_age_seconds=now - last.at if last is not None else None,
            scrape_duration_seconds=last.duration_seconds if last is not None else None,
            engines=self._kept.of(fresh_engines) if kept else self._made_views(now),
            problem=problem_of(last, self._failure, stalled, stale=not fresh),
            log_lines_unattributed=self._logs.unattributed,
            role=self.role,
            hung=hung_engines(self.name, stalled, now, stale_after),
            withheld=tuple(key.model_name for key, e in self._engines.items() if is_withheld(e, now, stale_after)),
            unviewed=self._kept.missing(fresh_engines),
            estimates_age_seconds=now - made_at if made_at > 0 else None,
        )

    def keep_views(self, now: float) -> bool:
        """Make the engines' views now, for :meth:`view` to take, if they are due. Whether they were made."""
        if self._last_good is None or not self._kept.are_due(self._last_good.at, now):
            return False
        self._kept.keep(self._made_views(now), now)
        return True

    def _fresh(self, now: float) -> list[EngineKey]:
        """Engines whose numbers are not too old, by model and name."""
        after = self._options.stale_after_seconds
        fresh = [key for key, engine in self._engines.items() if not is_stale(engine, now, after)]
        return sorted(fresh, key=lambda key: (key.model_name, key.engine))

    def _made_views(self, now: float) -> tuple[EngineView, ...]:
        made = (engine_view(self.name, key, self._engines[key], self._options) for key in self._fresh(now))
        return tuple(view for view in made if view is not None)
