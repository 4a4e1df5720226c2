"""What one engine sustains: a model of it at full load, corrected by the embedded engine and by what overloads show."""

from __future__ import annotations

from functools import cached_property

from kvwatch.core.calibration import Calibration
from kvwatch.core.full_engine import Correction, FullEngineInputs, FullEngineRun
from kvwatch.core.interval import Cause, Interval
from kvwatch.core.law_learner import StepLawLearner
from kvwatch.core.mix import Mix
from kvwatch.core.observed_service_rate import Backlog, ObservedRate
from kvwatch.core.options import CoreOptions
from kvwatch.core.population import Population
from kvwatch.core.reader import SampleReader
from kvwatch.core.refresh import Refresh
from kvwatch.core.service_rate import Evidence
from kvwatch.core.steps import StepTimes
from kvwatch.facts import EngineSample

_BACKLOG_WINDOW_SECONDS = 60.0
"""Of a backlog, the last part that the observed service rate is counted over (choice: as λ's shortest window)."""
_LEARN_EVERY_SECONDS = 10.0
"""How often the calibration takes what a backlog shows (choice: costs a closed form, and is averaged over a minute)."""


class FullLoad:
    """The traffic and the engine at full load as one sample shows them: worked out once, when first asked for."""

    def __init__(self, at: float, reader: SampleReader, population: Population, law: StepLawLearner) -> None:
        self._at, self._reader, self._population, self._law = at, reader, population, law

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
        capacity, settings, units = self._reader.kv_capacity, self._reader.settings, self._reader.units
        if capacity is None:
            return None, None
        longest = settings.max_model_len
        mix = self._population.mix(self._at, self._reader.sizes, units, longest)
        law = self._law.get(self._at)
        if mix is None or law is None:
            return mix, None
        block, chunk = map(units.whole, self._reader.sizes)
        return mix, FullEngineInputs(
            mix=mix,
            law=units.law(law),
            kv_tokens=capacity.tokens / units.unit_tokens,
            block_tokens=block,
            max_num_seqs=settings.max_num_seqs,
            max_num_batched_tokens=chunk if settings.max_num_batched_tokens is not None else None,
            max_model_len=units.whole(longest) if longest is not None else None,
        )


class CapacityModel:
    """What one engine sustains: the model, its last correction, its calibration, and the rate that a backlog shows."""

    def __init__(
        self,
        reader: SampleReader,
        population: Population,
        step_times: StepTimes,
        law: StepLawLearner,
        options: CoreOptions,
    ) -> None:
        self._reader, self._population, self._step_times, self._law = reader, population, step_times, law
        self._backlog = Backlog(options.span_seconds(_BACKLOG_WINDOW_SECONDS, 4))
        self._refresh = Refresh(options.model_max_age_seconds)
        self._calibration = Calibration()
        self._sample: EngineSample | None = None
        self._at = float("-inf")
        self._learned_at = float("-inf")
        self.full_load = self._full_load()

    def update(self, interval: Interval) -> None:
        """Take an interval, after everything that the model rests on has taken it."""
        self._backlog.update(interval)
        self._sample, self._at = interval.sample, interval.end
        self.full_load = self._full_load()
        if self._at - self._learned_at >= _LEARN_EVERY_SECONDS:
            self._learn(min(self._at - self._learned_at, 2 * _LEARN_EVERY_SECONDS))
            self._learned_at = self._at

    def begin_anew(self, cause: Cause) -> None:
        """A backlog does not outlast a break; what was learnt does."""
        self._backlog.begin_anew(cause)

    def configure(self) -> None:
        """The scheduler's settings are others: the last run says nothing any more."""
        self._refresh.forget()
        self.full_load = self._full_load()

    def _full_load(self) -> FullLoad:
        return FullLoad(self._at, self._reader, self._population, self._law)

    def _learn(self, seconds: float) -> None:
        """Take to heart what the last ``seconds`` of a backlog show."""
        observed, correction = self._observed(), self._refresh.correction
        full = self.full_load.inputs if observed is not None else None
        if observed is None or full is None or correction is None or not self._is_full:
            return
        load = full.closed_form().get(correction.limit)
        if load is not None:
            self._calibration.learn(self._at, seconds, load.rate * correction.factor, observed.rate)

    def _observed(self) -> ObservedRate | None:
        step = self._step_times.get(self._at) if self._backlog.active else None
        if step is None:
            return None
        lifetime = self._population.mean_output_tokens() * step.trimmed_mean
        return self._backlog.get(lifetime, self._reader.settings, self._reader.sizes[1])

    @property
    def _is_full(self) -> bool:
        return self._backlog.is_full(self._reader.settings, self._reader.sizes[1])

    @property
    def correction(self) -> Correction | None:
        """What the last run of the embedded engine says."""
        return self._refresh.correction

    @property
    def can_prescribe(self) -> bool:
        """Whether all is known that a better max_num_seqs depends on."""
        known = self._refresh.correction is not None and self._reader.settings.max_num_seqs is not None
        return known and self._sample is not None and not self._sample.spec_decode_drafts

    def due_run(self, now: float) -> FullEngineRun | None:
        """A run of the embedded engine to make now; its result goes to :meth:`correct`."""
        return self._refresh.due(now, lambda: self.full_load.inputs)

    def correct(self, correction: Correction | None) -> None:
        """Take the result of a run; ``None`` leaves the closed form uncorrected."""
        self._refresh.correction = correction
        if correction is not None:
            s = correction.saturation
            unit = self._reader.units.unit_tokens
            self._law.expect((s.mean_decoding, s.mean_prefill_tokens * unit, s.mean_kv_tokens * unit))

    def get(self, now: float) -> Evidence:
        """What μ is made of."""
        sample, reader = self._sample, self._reader
        return Evidence(
            full=self.full_load.inputs,
            correction=self._refresh.correction,
            calibration=self._calibration.factor(now),
            observed=self._observed(),
            demand=self._population.demand(now, reader.sizes, reader.units),
            step_time=self._step_times.get(now),
            kv_capacity=reader.kv_capacity,
            settings=reader.settings,
            running=sample.running if sample is not None else None,
            speculative=bool(sample is not None and sample.spec_decode_drafts),
            law_known=self._law.get(now) is not None,
        )

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return self._calibration.dump()

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        self._calibration.restore(state)
