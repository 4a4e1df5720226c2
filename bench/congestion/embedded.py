"""What the theory predicts of each mix, and what the embedded engine, with vLLM's own way to evict, then does."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from bench.congestion.discrete_engine import DiscreteEngine
from bench.congestion.mixes import Mix
from kvwatch.core.capacity.correction import LEAST_PERIOD_LIFETIMES, Experiment
from kvwatch.core.eviction.seat_search import prescribe
from kvwatch.core.eviction.wave import holding_variation, is_wave
from kvwatch.embedded.request import Request
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.workload import Pool
from kvwatch.queueing.congestion.stability import Stability, stability
from kvwatch.queueing.full_load import FullLoad
from kvwatch.stats.periodicity import Oscillation, oscillation

_LIFETIMES, _WARMUP_LIFETIMES = 30, 14
_CLASSES = 32
_SAMPLES_A_LIFETIME = 40
_REQUESTS, _LAW_DEVIATION = 1000.0, 0.015
"""What a search is told: how many requests the mix was learnt from, and how sure the ratio of two steps is."""
_SEARCH_LIFETIMES, _CHECK_LIFETIMES = 8, 25


@dataclass(frozen=True, slots=True)
class Outcome:
    """One mix: predictions and what the simulation did. Losses are shares of the eviction-free rate per second."""

    name: str
    growth: float
    verdict: str
    waves: bool
    synchronisation: float
    predicted_period: float | None
    period: float | None
    predicted_loss: float
    loss: float
    preemptions_per_finished: float
    cap: int | None
    predicted_gain: float | None
    gain: float
    watermark_gain: float


def outcome(mix: Mix) -> Outcome:
    """Predict, simulate and compare."""
    found = predicted(mix)
    running, rate, evicted = simulate(mix)
    swing, synchronisation = swing_of(mix, running)
    predicted_swing, predicted_rate, even = _predict(mix)
    cap, predicted_gain, gain, watermark_gain = _recommendation(mix)
    return Outcome(
        name=mix.name,
        growth=found.growth,
        verdict=found.verdict,
        waves=swing is not None and is_wave(swing, synchronisation),
        synchronisation=synchronisation,
        predicted_period=predicted_swing.period if predicted_swing else None,
        period=swing.period if swing else None,
        predicted_loss=1 - predicted_rate / even,
        loss=1 - rate / even,
        preemptions_per_finished=evicted,
        cap=cap,
        predicted_gain=predicted_gain,
        gain=gain,
        watermark_gain=watermark_gain,
    )


def predicted(mix: Mix) -> Stability:
    """What the shipped criterion says of a mix."""
    s, o = mix.lengths
    return stability(s, o, least_period_steps=LEAST_PERIOD_LIFETIMES * mix.lifetime)


def _series(values: list[float], lifetime: float) -> Oscillation | None:
    every = max(int(lifetime / _SAMPLES_A_LIFETIME), 1)
    return oscillation(list(range(0, len(values), every)), values[::every])


def swing_of(mix: Mix, running: list[float]) -> tuple[Oscillation | None, float]:
    """The oscillation of the running batch, and the share of its variance that chance does not explain."""
    found = _series(running, mix.lifetime)
    if found is None:
        return None, 0.0
    by_chance = holding_variation(*mix.lengths) / float(np.mean(running)) ** 0.5
    return found, max(1 - (by_chance / found.amplitude_ratio) ** 2, 0.0)


def simulate(mix: Mix) -> tuple[list[float], float, float]:
    """Running requests step by step from an empty engine, requests/s, and evictions for each that finished."""
    scheduler = Scheduler(mix.settings)
    stream = Pool(mix.pool).shapes(random.Random(1))
    running: list[float] = []
    sums = np.zeros(5)
    for step in range(int(_LIFETIMES * mix.lifetime)):
        while len(scheduler.waiting) < mix.settings.max_num_seqs:
            scheduler.add(Request(next(stream), mix.settings.block_size_tokens))
        scheduler.step()
        if step >= _WARMUP_LIFETIMES * mix.lifetime:
            running.append(float(scheduler.decoding + len(scheduler.prefilled)))
            sums += (
                scheduler.decoding,
                scheduler.prefill_tokens,
                scheduler.resident_blocks * mix.settings.block_size_tokens,
                len(scheduler.preempted),
                len(scheduler.finished),
            )
    n, p, k, preempted, finished = sums / len(running)
    return running, _rate(mix, float(np.mean(running)), (n, p, k)), preempted / finished


def _rate(mix: Mix, generated_per_step: float, composition: tuple[float, float, float]) -> float:
    """Requests/s that so many tokens a step are."""
    return generated_per_step / mix.lifetime / mix.law.seconds(*composition)


def _predict(mix: Mix) -> tuple[Oscillation | None, float, float]:
    """The discrete-time engine from the same start, evicting as vLLM does: its oscillation and requests/s.

    Third is the eviction-free equilibrium's requests/s.
    """
    s, o = _grouped(mix)
    held = s + (mix.settings.block_size_tokens - 1) / 2
    kv_tokens = mix.settings.kv_capacity_tokens
    steps = DiscreteEngine(kv_tokens, held, o, keep_progress=True, whole_requests=True).run(
        int(_LIFETIMES * mix.lifetime)
    )
    late = steps.after(int(_WARMUP_LIFETIMES * mix.lifetime))
    n, p, k = (float(x.mean()) for x in (late.running, late.prefilled, late.held))
    finishing = kv_tokens / float((held * o + o * (o - 1) / 2).mean())
    even = _rate(mix, finishing * mix.lifetime, (finishing * mix.lifetime, finishing * float(s.mean()), kv_tokens))
    swing = _series(late.running.tolist(), mix.lifetime)
    return swing, _rate(mix, n, (n, p, k)), even


def _grouped(mix: Mix) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """At most 32 classes of equal share: means of requests with neighbouring outputs."""
    s, o = mix.lengths
    kinds = sorted(set(zip(s.tolist(), o.tolist(), strict=True)), key=lambda pair: pair[1])
    if len(kinds) <= _CLASSES:
        return s, o
    order = np.lexsort((s, o))
    groups = np.array_split(order, _CLASSES)
    return np.array([s[g].mean() for g in groups]), np.array([np.rint(o[g].mean()) for g in groups])


def _recommendation(mix: Mix) -> tuple[int | None, float | None, float, float]:
    """The recommended cap, if any, and what it and a watermark of 1% gain in longer runs of their own."""
    load = FullLoad(0.0, (0.0, 0.0, 0.0), 0.0, 0.0)
    steps = int(_SEARCH_LIFETIMES * mix.lifetime)
    found = prescribe(
        Experiment(list(mix.pool), mix.settings, mix.law, steps, load, "kv"), _REQUESTS, lambda _, __: _LAW_DEVIATION
    )
    longer = int(_CHECK_LIFETIMES * mix.lifetime)

    def rate(seats: int, watermark: float) -> float:
        settings = replace(mix.settings, max_num_seqs=seats, watermark_ratio=watermark)
        return saturate(mix.pool, settings, mix.law, steps=longer, seed=99).throughput_rps

    default = rate(mix.settings.max_num_seqs, 0.0)
    watermark_gain = rate(mix.settings.max_num_seqs, 0.01) / default - 1
    if found.max_num_seqs is None:
        return None, None, 0.0, watermark_gain
    return found.max_num_seqs, found.gain_ratio, rate(found.max_num_seqs, 0.0) / default - 1, watermark_gain
