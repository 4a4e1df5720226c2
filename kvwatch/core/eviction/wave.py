"""Whether a full engine swings in waves of eviction, and what evictions cost it now.

A wave is an oscillation of the running requests that returns after a period, and is larger than independent requests
make by chance. Requests of different ages hold different amounts of memory, so even without any synchronisation the
number that fits varies: N requests whose memory has a coefficient of variation v make it vary by v/√N. A wave makes
it vary several times as much. Overload alone keeps memory full without a swing, and bursts of arrivals do not fill it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import numpy.typing as npt

from kvwatch.constants import TINY
from kvwatch.core.capacity.correction import Correction, stability_of
from kvwatch.core.cause import Cause
from kvwatch.core.eviction.preemptions import Evictions, costs
from kvwatch.core.interval import FULL_RATIO, Interval
from kvwatch.core.steps.step_seconds import StepTime
from kvwatch.core.traffic.mix import Mix
from kvwatch.estimate import Estimate, Reason
from kvwatch.queueing.congestion.stability import STABLE_BELOW, Stability
from kvwatch.stats.periodicity import Oscillation, oscillation

Array = npt.NDArray[np.float64]

_MOST_SAMPLES = 1200
"""Samples of the running requests that are kept [samples]. Choice: the window of five minutes at four scrapes a second;
the autocorrelation of that many takes a millisecond."""
_SAMPLES_A_LIFETIME = 4.0
"""Samples that a mean lifetime must have for a wave to be looked for [samples]. Choice: a wave's period is about a
lifetime; seen more rarely than twice a period it shows one that is not its own (aliasing), and a crest and a trough
need twice that."""
_LONGEST_PERIOD_LIFETIMES = 1.5
"""Longest period of a wave over the longest output [1]. Choice: a wave is carried by the requests inside, so it returns
before the longest of them has ended, and by half of that later where evictions make it wait."""
_LEAST_CREST = 0.4
"""Autocorrelation a period apart from which on a swing is a wave [1]. Choice: noise that lasts reaches it in less than
one series of twenty (tests/stats/test_periodicity.py), waves of eviction are mostly above 0.6."""
_LEAST_TROUGH = -0.4
"""Autocorrelation half a period apart up to which a swing is a wave [1]. Choice: the same below zero, as a wave's
trough is as deep as its crest is high."""
_LEAST_SYNCHRONISATION = 0.85
"""Share of the running requests' variance that must be more than chance in a wave [1]. Measured: bench/congestion,
where all 21 waves have 0.92 and more and everything else 0.81 and less."""


@dataclass(frozen=True, slots=True)
class Congestion:
    """What is known of waves and evictions.

    Attributes:
        stability: Whether the traffic's mix makes a wave grow.
        wave: The oscillation of the running requests, where there is one; positions are engine steps.
        synchronisation: Share of the variance of the running requests that independent ones do not explain, 0 to 1.
        too_coarse: Whether scrapes come too rarely, for so fast an engine, to show a wave if there is one.
        preemptions_per_finished: Over the last minute, or a mean lifetime where that is longer.
        recomputed_tokens_per_finished: Tokens computed again for each request finished; no metric shows them, so it
            is the evictions seen times what one costs in the embedded engine.
        loss_ratio: Throughput lost to evictions now, against the engine without evictions.
    """

    stability: Stability | None = None
    wave: Oscillation | None = None
    too_coarse: bool = False
    synchronisation: float | None = None
    preemptions_per_finished: float | None = None
    recomputed_tokens_per_finished: float | None = None
    loss_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class FullSpell:
    """Samples of the running requests while memory is full, each at its position in engine steps."""

    positions: tuple[float, ...] = ()
    running: tuple[float, ...] = ()


class CongestionWatch:
    """Follows one engine. Bounded: 1,200 samples."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._full: deque[tuple[float, float, float]] = deque(maxlen=_MOST_SAMPLES)
        """(time, engine steps so far, running) while memory is full."""
        self._steps = 0.0

    def update(self, interval: Interval) -> None:
        """Take an interval."""
        if not interval.goes_on:
            return
        at, sample = interval.end, interval.sample
        usage, queue = sample.kv_usage_ratio or 0.0, interval.waiting[1] or 0.0
        if usage < FULL_RATIO and not (queue and self._full):
            self._full.clear()  # while requests wait, a wave may empty a good part of the memory
        elif interval.steps and sample.running is not None:
            self._steps += interval.steps
            self._full.append((at, self._steps, sample.running))
        while self._full and self._full[0][0] <= at - self._window:
            self._full.popleft()

    def begin_anew(self, cause: Cause) -> None:
        """A swing of the batch before a restart or a mass abort is no part of one after it."""
        if cause.changes_requests:
            self._full.clear()

    def get(self, _now: float) -> FullSpell:
        """The running requests while memory is full, over the window up to the newest sample."""
        return FullSpell(tuple(f[1] for f in self._full), tuple(f[2] for f in self._full))


def congestion(
    spell: FullSpell,
    evictions: Evictions,
    mix: Mix | None,
    correction: Correction | None,
    step: StepTime | None = None,
) -> Congestion:
    """What is known of waves and evictions.

    ``mix`` is the traffic's, ``correction`` the last run of the embedded engine, ``step`` today's step time.
    """
    lifetime_steps = (mix.demand.steps if mix is not None else None) or 0.0
    lifetime_seconds = lifetime_steps * step.trimmed_mean if step is not None else 0.0
    evicted = evictions.per_finished(lifetime_seconds)
    result = Congestion(stability=_stability(mix, correction), preemptions_per_finished=evicted)
    if evicted == 0:
        return replace(result, recomputed_tokens_per_finished=0.0, loss_ratio=0.0)
    cost = costs(correction) if correction is not None else None
    if cost is not None and evicted is not None:
        tokens, lost = cost
        result = replace(result, recomputed_tokens_per_finished=evicted * tokens, loss_ratio=min(evicted * lost, 1.0))
    return _with_wave(result, spell, mix) if mix is not None else result


def _stability(mix: Mix | None, correction: Correction | None) -> Stability | None:
    """The mix's, as the last run of the embedded engine found it; before the first one it is found here."""
    if correction is not None:
        return correction.stability
    return stability_of(mix) if mix is not None else None


def _with_wave(result: Congestion, spell: FullSpell, mix: Mix) -> Congestion:
    lifetime, longest = float(mix.output_tokens.mean()), float(mix.output_tokens.max())
    if len(spell.positions) > 1 and float(np.median(np.diff(spell.positions))) * _SAMPLES_A_LIFETIME > lifetime:
        return replace(result, too_coarse=True)
    swing = oscillation(spell.positions, spell.running)
    if swing is None:
        return result
    excluded = result.stability is not None and result.stability.growth_upper < STABLE_BELOW
    possible = not excluded and swing.period <= _LONGEST_PERIOD_LIFETIMES * longest
    running = sum(spell.running) / len(spell.running)
    by_chance = holding_variation(*mix.grown_lengths()) / max(running, 1.0) ** 0.5
    synchronisation = max(1 - (by_chance / max(swing.amplitude_ratio, TINY)) ** 2, 0.0)
    found = possible and is_wave(swing, synchronisation) and bool(result.preemptions_per_finished)
    return replace(result, wave=swing if found else None, synchronisation=synchronisation)


def is_wave(swing: Oscillation, synchronisation: float) -> bool:
    """Whether the running requests come back after a period, by more than chance makes them swing."""
    regular = swing.crest >= _LEAST_CREST and swing.trough <= _LEAST_TROUGH
    return regular and synchronisation >= _LEAST_SYNCHRONISATION


def holding_variation(prompt_tokens: Array, output_tokens: Array) -> float:
    """Coefficient of variation of the tokens that a request running at a random moment holds, s + U·o."""
    s, o = prompt_tokens, output_tokens
    first = float((o * (s + o / 2)).sum() / o.sum())
    second = float((o * (s * s + s * o + o * o / 3)).sum() / o.sum())
    return sqrt(max(second - first * first, 0.0)) / first


def growth_ratio(c: Congestion, *, law_known: bool) -> Estimate:
    """By how much a small wave grows in a mean lifetime; the verdict is on all that is said of evictions.

    It says whether a missing loss or wave means that there is none.
    """
    if c.stability is None:
        return Estimate(verdict=Reason.DEPENDS)
    if c.preemptions_per_finished and c.loss_ratio is None:
        verdict = Reason.DEPENDS if law_known else Reason.LAW_UNKNOWN
    else:
        verdict = Reason.SCRAPES_TOO_RARE if c.preemptions_per_finished and c.too_coarse else Reason.OK
    return Estimate(c.stability.growth, c.stability.growth_lower, c.stability.growth_upper, verdict)
