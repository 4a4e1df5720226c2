"""What one engine sustains: a model of it at full load, corrected by the embedded engine and by what overloads show."""

from __future__ import annotations

from functools import cached_property

from kvwatch.core.capacity.calibration import Calibration
from kvwatch.core.capacity.correction import Correction, FullEngineRun
from kvwatch.core.capacity.crowding import crowding
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.observed_service_rate import Backlog, ObservedRate
from kvwatch.core.capacity.refresh import Refresh
from kvwatch.core.capacity.service_rate import Evidence
from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.options import CoreOptions
from kvwatch.core.steps.law_learner import StepLawLearner
from kvwatch.core.steps.step_seconds import StepTimes
from kvwatch.core.traffic.mix import Mix
from kvwatch.core.traffic.population import Population
from kvwatch.facts import VLLM

_BACKLOG_WINDOW_SECONDS = 60.0
"""Window of the observed service rate [s]. Choice: a minute of completions at the rates of interest counts tens of
requests; longer, and the rate lags behind a change of the traffic."""
_LEARN_EVERY_SECONDS = 10.0
"""How often an overload teaches the calibration [s]. Choice: it moves over a minute; each time costs a closed form."""
_LEAST_BACKLOG_SCRAPES = 4
"""Scrapes in that window [scrapes]. Choice: completions come in bursts, which fewer scrapes do not average."""


class FullLoad:
    """The traffic and the engine at full load as one sample shows them: worked out once, when first asked for."""

    def __init__(self, last: Interval | None, population: Population, law: StepLawLearner) -> None:
        self._last, self._population, self._law = last, population, law

    @property
    def mix(self) -> Mix | None:
        """The traffic's mix of lengths."""
        return self._known[0]

    @property
    def inputs(self) -> FullEngineInputs | None:
        """All that the rate at full load depends on."""
        return self._known[1]

    @cached_property
    def _known(self) -> tuple[Mix | None, FullEngineInputs | None]:
        last = self._last
        if last is None or last.kv_tokens is None:
            return None, None
        mix, law = self._population.mix(last.end), self._law.get(last.end)
        if mix is None or law is None:
            return mix, None
        (block, chunk), longest = last.sizes_in_units, last.settings.max_model_len
        return mix, FullEngineInputs(
            mix=mix,
            law=law if last.unit_tokens == 1 else law.in_units(last.unit_tokens),
            kv_tokens=last.kv_tokens / last.unit_tokens,
            block_tokens=block,
            max_num_seqs=last.seats,
            max_num_batched_tokens=chunk if last.budget_tokens is not None else None,
            max_model_len=last.whole(longest) if longest is not None else None,
            watermark_ratio=last.settings.watermark_ratio or 0.0,
        )


class CapacityModel:
    """What one engine sustains: the model, its last correction, its calibration, and the rate that a backlog shows."""

    def __init__(
        self,
        population: Population,
        step_times: StepTimes,
        law: StepLawLearner,
        options: CoreOptions,
    ) -> None:
        self._population, self._step_times, self._law = population, step_times, law
        self._backlog = Backlog(options.span_seconds(_BACKLOG_WINDOW_SECONDS, _LEAST_BACKLOG_SCRAPES))
        self._refresh = Refresh(options.model_max_age_seconds, options.model_least_seconds)
        self._calibration = Calibration()
        self._last: Interval | None = None
        self._learned_at = float("-inf")
        self.full_load = FullLoad(None, population, law)

    def update(self, interval: Interval) -> None:
        """Take an interval, after everything that the model rests on has taken it."""
        self._backlog.update(interval)
        self._last, at = interval, interval.end
        self.full_load = FullLoad(interval, self._population, self._law)
        if at - self._learned_at >= _LEARN_EVERY_SECONDS:
            self._learn(at, min(at - self._learned_at, 2 * _LEARN_EVERY_SECONDS))
            self._learned_at = at

    def begin_anew(self, cause: Cause) -> None:
        """A backlog does not outlast a break; what was learnt does, unless from metrics that were wrong."""
        self._backlog.begin_anew(cause)
        if cause is Cause.REFUTED:
            self._calibration = Calibration()

    def learned_between(self) -> None:
        """Logs have shown more since the last interval: what the engine is at full load is worked out again."""
        self.full_load = FullLoad(self._last, self._population, self._law)

    def configure(self, last: Interval | None) -> None:
        """The scheduler's settings are others, also for the interval that was the last."""
        self._refresh.forget()
        self._last, self.full_load = last, FullLoad(last, self._population, self._law)

    def _learn(self, at: float, seconds: float) -> None:
        """Take to heart what the last ``seconds`` of a backlog show."""
        observed, correction = self._observed(), self._refresh.correction
        full = self.full_load.inputs if observed is not None else None
        if observed is None or full is None or correction is None or not self._is_full:
            return
        load = full.closed_form.get(correction.limit)
        if load is not None:
            self._calibration.learn(at, seconds, load.rate * correction.factor, observed.rate)

    def _observed(self) -> ObservedRate | None:
        last = self._last
        if last is None or not self._backlog.active or (step := self._step_times.get(last.end)) is None:
            return None
        mean_output = self._population.mean_output_tokens()
        life_seconds = mean_output * step.trimmed_mean
        return self._backlog.rate(life_seconds, mean_output * last.unit_tokens, last.settings, last.chunk_tokens)

    @property
    def _is_full(self) -> bool:
        return self._last is not None and self._backlog.is_full(self._last.settings, self._last.chunk_tokens)

    @property
    def correction(self) -> Correction | None:
        """What the last run of the embedded engine says."""
        return self._refresh.correction

    @property
    def can_prescribe(self) -> bool:
        """Whether all is known that a better max_num_seqs depends on."""
        last = self._last
        if last is None or self._refresh.correction is None or last.settings.max_num_seqs is None:
            return False
        return not last.sample.spec_decode_drafts

    def take_due_run(self, now: float) -> FullEngineRun | None:
        """A run of the embedded engine to make now; its result goes to :meth:`correct`."""
        return self._refresh.take_due(now, lambda: self.full_load.inputs)

    def correct(self, correction: Correction | None) -> None:
        """Take the result of a run; ``None`` leaves the closed form uncorrected."""
        self._refresh.correction = correction
        if correction is not None:
            s, unit = correction.saturation, self._last.unit_tokens if self._last is not None else 1.0
            self._law.expect((s.mean_decoding, s.mean_prefill_tokens * unit, s.mean_kv_tokens * unit))

    def get(self, now: float) -> Evidence | None:
        """What μ is made of; ``None`` before the first sample."""
        last = self._last
        if last is None:
            return None
        return Evidence(
            full=self.full_load.inputs,
            correction=self._refresh.correction,
            calibration=self._calibration.factor(now),
            observed=self._observed(),
            demand=self._population.get(now),
            step_time=self._step_times.get(now),
            kv_capacity=last.kv_capacity,
            settings=last.settings,
            running=last.sample.running,
            speculative=bool(last.sample.spec_decode_drafts),
            other_scheduler=last.sample.server != VLLM,
            law_known=self._law.get(now) is not None,
            hits_fall=self._population.cache_hits.get(now),
            assumptions=last.assumptions,
            unit_tokens=last.unit_tokens,
            crowding=crowding(self._law.levels(), last.settings, last.kv_tokens),
        )

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return self._calibration.dump()

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        self._calibration.restore(state)
