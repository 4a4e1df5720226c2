"""One engine: samples and log lines in, parts that learn from them, answers out. Bounded, whatever the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from kvwatch.core.capacity.kv_capacity_check import KvCapacityCheck
from kvwatch.core.capacity.largest_request import LargestRequest
from kvwatch.core.capacity.model import CapacityModel
from kvwatch.core.ended import Ended
from kvwatch.core.eviction.preemptions import Preemptions
from kvwatch.core.eviction.recommended_max_num_seqs import Prescriber
from kvwatch.core.eviction.seat_search import Prescription
from kvwatch.core.eviction.wave import CongestionWatch
from kvwatch.core.hung import Progress
from kvwatch.core.inputs import Inputs
from kvwatch.core.interval import Interval
from kvwatch.core.kept import KeptParts
from kvwatch.core.latency.curve import Curve, LatencyInputs, LatencyModel, burstiness
from kvwatch.core.model_run import ModelResult, ModelRun
from kvwatch.core.options import CoreOptions
from kvwatch.core.part import Part, TakesRequests
from kvwatch.core.reader import SampleReader
from kvwatch.core.settings.watch import SettingsWatch
from kvwatch.core.spans import Spans
from kvwatch.core.steps.law_learner import StepLawLearner
from kvwatch.core.steps.step_seconds import StepTimes
from kvwatch.core.traffic.arrival_rate import Arrivals
from kvwatch.core.traffic.latency import Latency
from kvwatch.core.traffic.population import Population
from kvwatch.core.traffic.queue_slope import QueueTrend
from kvwatch.core.traffic.standing_queue import StandingQueue
from kvwatch.core.traffic.token_rate import TokenRates
from kvwatch.facts import (
    EngineSample,
    Iteration,
    RequestAborted,
    RequestRecord,
    RequestStarted,
    Settings,
    SettingSource,
)

_PRESCRIBE_SECONDS = 60.0
"""Least time between two searches for a better max_num_seqs [s]. Choice: a search costs a second or more of CPU."""

_P = TypeVar("_P", bound=Part[object])


class EngineEstimator:
    """The parts that answer for one engine. Each takes every interval; who adds one adds it here, in one line."""

    def __init__(self, options: CoreOptions) -> None:
        spans = Spans.of(options)
        self._parts: list[Part[object]] = []
        self._reader = SampleReader()
        self.inputs = self._add(Inputs())
        self.settings = self._add(SettingsWatch())
        self.arrivals = self._add(Arrivals(options.windows_seconds, spans.log_lag))
        self.largest = self._add(LargestRequest())
        self.progress = self._add(Progress())
        self.population = self._add(Population(spans.demand, options.demand_window_seconds, options.top_tenants))
        self.kv_check = self._add(KvCapacityCheck(self.population))
        self.latency = self._add(Latency(spans.latency))
        self.tokens = self._add(TokenRates(spans.tokens))
        self.queue = self._add(QueueTrend(spans.queue))
        self.standing = self._add(StandingQueue())
        self.step_times = self._add(StepTimes(spans.step_times, options.trim_ratio))
        self.law = self._add(StepLawLearner())
        self.preemptions = self._add(Preemptions(spans.evictions))
        self.wave = self._add(CongestionWatch(spans.wave))
        self.capacity = self._add(CapacityModel(self.population, self.step_times, self.law, options))
        self.prescriber = Prescriber(max(options.model_max_age_seconds, _PRESCRIBE_SECONDS))
        self.latency_model = LatencyModel(wanted=options.predicts_latency or bool(options.slo))
        self._seeks_seats = options.seeks_seats
        self._taking_requests: tuple[TakesRequests, ...] = (self.population, self.largest, self.arrivals, self.kv_check)
        self._kept = KeptParts(
            {
                "law": self.law,
                "calibration": self.capacity,
                "mix": self.population.length_mix,
                "settings": self.settings,
                "kv_capacity": self.kv_check,
            },
            {"requests": self.population.log, "arrivals": self.arrivals, "largest": self.largest},
        )
        self.last: Interval | None = None
        """The newest interval."""
        self.seen_at = float("-inf")
        """When it was last shown, be it with the numbers of before [unix s]."""
        self.first_at = float("inf")
        """Time of the first sample of all [unix s]."""
        self.since = float("-inf")
        """Time of the first sample, or of the first after the counters began again [unix s]."""

    def _add(self, part: _P) -> _P:
        self._parts.append(part)
        return part

    @property
    def last_at(self) -> float:
        """Time of the newest sample [unix s]."""
        return self.last.end if self.last is not None else float("-inf")

    def observe(self, at: float, sample: EngineSample, data_parallel_engines: int) -> None:
        """Take the engine's numbers of one scrape."""
        self.seen_at = max(self.seen_at, at)
        interval = self._reader.read(at, sample, data_parallel_engines)
        if interval is None:
            self.progress.repeat(self.seen_at, self._reader.repeated.page_seconds)
            return
        self.last = interval
        self.first_at = min(self.first_at, at)
        if interval.begins:
            self.since = at
        if interval.cause is not None:
            for part in self._parts:
                part.begin_anew(interval.cause)
        for part in self._parts:
            part.update(interval)
        self._configure()
        self._reader.belief = self.kv_check.get(at)

    def observe_request(self, record: RequestRecord, now: float, share: float = 1.0) -> None:
        """Take one request that ended, or the ``share`` of it that is this engine's where it is not known whose.

        ``now`` is the newest time known otherwise [unix s]. Records may come late and in any order.
        """
        if self.population.admit(record, now):
            ended = Ended.of(record, share, self.last)
            for part in self._taking_requests:
                part.update_request(ended)
            self.capacity.learned_between()

    def observe_start(self, event: RequestStarted | RequestAborted, now: float) -> None:
        """Take a line of the server's log about a request that starts or is given up."""
        self.arrivals.observe_start(event, now)

    def observe_iteration(self, step: Iteration) -> None:
        """Take a step of the server's iteration log."""
        self.law.update_iteration(step)
        self.capacity.learned_between()

    def report(self, reports: Mapping[SettingSource, Settings]) -> None:
        """Take what each source says of the scheduler's settings now; one that is left out says nothing any more."""
        self.settings.report(reports)
        self._configure()

    def _configure(self) -> None:
        """Compute with the settings as they are known now."""
        weighed = self.settings.get(self.last_at)
        if (weighed.settings, weighed.assumptions) == (self._reader.settings, self._reader.assumptions):
            return
        self._reader.settings, self._reader.assumptions = weighed.settings, weighed.assumptions
        self.prescriber.forget()
        self.latency_model.forget()
        if self.last is not None:
            self.last = replace(self.last, settings=weighed.settings, assumptions=weighed.assumptions)
            self.population.configure(self.last)
        self.capacity.configure(self.last)

    def take_due_run(self, now: float) -> ModelRun | None:
        """A run of the embedded engine to make now, in the background; its result goes to :meth:`correct`."""
        run = self.capacity.take_due_run(now) or self.latency_model.take_due(now, lambda: self._latency_inputs(now))
        return run or (self.prescriber.take_due_run(now, self.capacity) if self._seeks_seats else None)

    def _latency_inputs(self, now: float) -> LatencyInputs | None:
        """What latency depends on, once the engine at full load has been run."""
        full, last = self.capacity.full_load.inputs, self.last
        if full is None or last is None or self.capacity.correction is None:
            return None
        is_async = last.settings.async_scheduling is True
        return LatencyInputs(full, burstiness(self.arrivals.dispersion(now)), is_async)

    def correct(self, result: ModelResult) -> None:
        """Take the result of a run; ``None`` leaves the closed form uncorrected."""
        if isinstance(result, Prescription):
            self.prescriber.prescription = result
        elif isinstance(result, Curve):
            self.latency_model.curve = result
        else:
            self.capacity.correct(result)

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return self._kept.dump(self.last_at)

    def restore(self, state: Mapping[str, object], now: float) -> None:
        """Take up a dumped state at ``now`` [unix s]; raises StateError for one that cannot be."""
        self._kept.restore(state, now)
        self._reader.belief = self.kv_check.get(self.last_at)
