"""Two samples of one engine → the interval between them, on the scale that the step law has."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.constants import HOUR_SECONDS
from kvwatch.core.assumptions import Assumptions
from kvwatch.core.capacity.kv_capacity import believed, kv_capacity
from kvwatch.core.capacity.kv_capacity_check import REFUTED_RATIO, Belief
from kvwatch.core.capacity.kv_usage import KvUsage
from kvwatch.core.catching_up import CatchingUp
from kvwatch.core.cause import Cause
from kvwatch.core.conservation.refuted import Refuted
from kvwatch.core.frozen import Frozen
from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.repeated import Repeated
from kvwatch.core.resets import Resets
from kvwatch.core.steps.step_counts import StepCounts
from kvwatch.core.steps.step_seconds import Cadence
from kvwatch.core.traffic.length_sums import LengthSums
from kvwatch.core.traffic.passed_over import PassedOver
from kvwatch.core.traffic.turnover import Turnover
from kvwatch.core.traffic.vanished import VanishedRequests
from kvwatch.core.units import Speculation
from kvwatch.facts import EngineSample, Settings

_LONGEST_LATENCY_SECONDS = HOUR_SECONDS
"""Longest mean time of a token, beyond the interval [s]. Choice: no token takes an hour; requests that are aborted
inside an engine add times as long as the host's uptime."""


class SampleReader:
    """Turns the samples of one engine into intervals; keeps a reset of the counters apart from a pause."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.assumptions = Assumptions()
        self.belief = Belief()
        """What is to be believed of the M that the server shows."""
        self._shown: KvCapacity | None = None
        self._kv_capacity: KvCapacity | None = None
        self._scale_tokens: float | None = None
        """M of the scale that is in force."""
        self._usage = KvUsage()
        self._usage_refuted = False
        self._refuted = Refuted()
        self._were_refuted: frozenset[str] = frozenset()
        self._frozen = Frozen()
        self._standing: dict[str, int] = {}
        self.repeated = Repeated()
        self._resets = Resets()
        self._catching_up = CatchingUp()
        self._room = PassedOver()
        self.units = Speculation()
        self.step_counts = StepCounts()
        self._cadence = Cadence()
        self._vanished = VanishedRequests()
        self._turnover = Turnover()
        self._last: EngineSample | None = None
        self._at = float("-inf")
        self._lengths = LengthSums()

    def read(self, at: float, sample: EngineSample, data_parallel_engines: int = 1) -> Interval | None:
        """The interval that ends with a sample at ``at`` [unix s]; ``None`` if time or the page has not moved."""
        last, start = self._last, self._at
        if at <= start or self.repeated.update(at, sample):
            return None
        begins = last is None or self._resets.update(last, sample)
        if begins:
            self._usage.begin_anew()
            self._usage_refuted = False
            self._refuted.begin_anew()
            self._catching_up.begin_anew()
            self._were_refuted = frozenset()
            self._room.begin_anew()
        sample = self._refuted.update(at, self._usage.update(at, sample))
        self._standing = self._frozen.update(sample)
        self._last, self._at = sample, at
        self._shown = kv_capacity(sample.cache, data_parallel_engines) or self._shown
        self._kv_capacity = believed(self._shown, self.belief)
        if last is None or begins:
            self._scale_tokens = self._kv_capacity.tokens if self._kv_capacity is not None else None
            self._lengths.begin(sample)
            self._turnover.begin_anew()
            return self._beginning(at, sample, Cause.FIRST if last is None else Cause.RESTART)
        interval = self.repeated.sound(self._catching_up.update(self._between(start, last, at, sample)))
        gone = self._vanished.update(interval)
        if gone.mass:
            self._turnover.begin_anew()
            return replace(interval, cause=Cause.ABORTS, vanished=gone.count)
        recounted = self.step_counts.update(interval)
        interval = self.step_counts.once(self._room.leave_out(interval))
        self._cadence.update(interval)
        interval = replace(interval, step_seconds=self._cadence.step_seconds(interval))
        unit_changed = self.units.update(interval)
        rescaled = Cause.CAPACITY if self._take_scale() else Cause.UNIT if unit_changed else None
        return replace(
            interval,
            cause=Cause.REFUTED if self._take_refuted() or recounted else rescaled,
            unit_tokens=self.units.unit_tokens,
            representative=self._turnover.update(interval),
            vanished=gone.count,
            returned=gone.returned,
        )

    def _take_refuted(self) -> bool:
        """Whether other metrics are contradicted than before: what was made of them is forgotten."""
        before, self._were_refuted = self._were_refuted, frozenset(self._refuted.found)
        if before == self._were_refuted:
            return False
        self.units = Speculation()
        self._turnover.begin_anew()
        self._lengths.forget()
        return True

    def _take_scale(self) -> bool:
        """Whether what is held of M is counted otherwise from here on.

        M is so different from that of the scale in force, or the gauge of what is held has turned out to be none.
        """
        if self._usage.out_of_range(self._at) and not self._usage_refuted:
            self._usage_refuted = True
            return True
        before, after = self._scale_tokens, self._kv_capacity.tokens if self._kv_capacity is not None else None
        same = before == after or (before and after and 1 / REFUTED_RATIO < after / before < REFUTED_RATIO)
        if not same:
            self._scale_tokens = after
        return not same

    def _beginning(self, at: float, sample: EngineSample, cause: Cause) -> Interval:
        return Interval(
            start=at,
            end=at,
            sample=sample,
            cause=cause,
            settings=self.settings,
            assumptions=self.assumptions,
            kv_capacity=self._kv_capacity,
            kv_capacity_shown=self._shown,
            usage_out_of_range=self._usage.out_of_range(at),
            counters_fall=self._resets.counters_fall,
            standing=self._standing,
            unit_tokens=self.units.unit_tokens,
            running=(None, sample.running),
            waiting=(None, _queue(sample)),
            kv_usage_ratio=(None, sample.kv_usage_ratio),
        )

    def _between(self, start: float, a: EngineSample, end: float, b: EngineSample) -> Interval:
        itl_count = _rise(a.inter_token_count, b.inter_token_count)
        itl_seconds = _rise(a.inter_token_seconds_sum, b.inter_token_seconds_sum)
        longest = end - start + _LONGEST_LATENCY_SECONDS
        if itl_count is None or itl_seconds is None or itl_seconds > itl_count * longest:
            itl_count = itl_seconds = None
        count, prompt, output = self._lengths.update(b)
        return Interval(
            start=start,
            end=end,
            sample=b,
            settings=self.settings,
            assumptions=self.assumptions,
            kv_capacity=self._kv_capacity,
            kv_capacity_shown=self._shown,
            usage_out_of_range=self._usage.out_of_range(end),
            contradicted=tuple(self._refuted.found.values()),
            counters_fall=self._resets.counters_fall,
            standing=self._standing,
            unit_tokens=self.units.unit_tokens,
            finished=_rise(a.finished, b.finished),
            steps=_rise(a.steps, b.steps),
            generation_tokens=_rise(a.generation_tokens, b.generation_tokens),
            prompt_tokens=_rise(a.prompt_tokens, b.prompt_tokens),
            prompt_tokens_computed=_rise(a.prompt_tokens_computed, b.prompt_tokens_computed),
            preemptions=_rise(a.preemptions, b.preemptions),
            inter_token_seconds=itl_seconds,
            inter_tokens=itl_count,
            first_tokens=_rise(a.first_token_count, b.first_token_count),
            prefill_seconds=_rise(a.prefill_seconds_sum, b.prefill_seconds_sum),
            lengths_count=count,
            lengths_prompt_tokens=prompt,
            lengths_output_tokens=output,
            running=(a.running, b.running),
            waiting=(_queue(a), _queue(b)),
            kv_usage_ratio=(a.kv_usage_ratio, b.kv_usage_ratio),
        )


def _queue(sample: EngineSample) -> float | None:
    """Requests that wait for capacity, where the server counts them apart from those that wait for something else."""
    return sample.waiting_capacity if sample.waiting_capacity is not None else sample.waiting


def _rise(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None or after < before else after - before
