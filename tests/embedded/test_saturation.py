"""The saturated run gives the means that a full engine has."""

from __future__ import annotations

import random

import pytest

from bench.step_law_fit import fit_step_law
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival, Pool

LAW = StepLaw(0.015, 0.0008, 0.00006, 1e-7)
SOURCE = random.Random(5)
MIX = [RequestShape(SOURCE.randint(10, 400), SOURCE.randint(10, 400)) for _ in range(64)]


@pytest.mark.parametrize("caching", [False, True])
def test_the_lean_path_agrees_with_the_engine_on_a_long_queue(caching: bool) -> None:
    """Throughput, batch and evictions are those of the engine that counts everything, fed the same requests."""
    configured = SchedulerSettings(512, 32, 256, 512, enable_prefix_caching=caching)
    lean = saturate(MIX, configured, LAW, steps=6000, warmup_steps=1500, seed=3)
    shapes = Pool(tuple(MIX)).shapes(random.Random(3))
    engine = Engine(configured, StepClock(LAW), (Arrival(0.0, next(shapes)) for _ in range(3000)))
    while engine.scheduler.steps < 1500:
        engine.advance(engine.now + 0.05)
    before, finished, at = engine.counters.generation_tokens, engine.counters.finished, engine.now
    while engine.scheduler.steps < 6000:
        engine.advance(engine.now + 0.05)
    rate = (engine.counters.generation_tokens - before) / (engine.now - at) / lean.mean_output_tokens
    # the lean path tells the long run's rate, of which 4,500 steps are no exact sample
    assert lean.throughput_rps == pytest.approx(rate, rel=0.02)
    assert lean.finished == pytest.approx(engine.counters.finished - finished, abs=1)
    assert lean.seconds == pytest.approx(engine.now - at, rel=0.005)


def test_means_fit_together() -> None:
    """Little's law holds between batch and throughput; the step law at the mean composition is the mean step."""
    full = saturate(MIX, SchedulerSettings(512, 32, 256, 512), LAW, steps=8000)
    assert full.mean_step_seconds == pytest.approx(
        LAW.seconds(full.mean_decoding, full.mean_prefill_tokens, full.mean_kv_tokens)
    )
    assert full.computed_tokens_per_step == pytest.approx(full.mean_decoding + full.mean_prefill_tokens)
    assert full.throughput_rps == pytest.approx(full.finished / full.seconds, rel=0.05)
    assert 0.95 * 511 * 32 < full.mean_kv_tokens <= 511 * 32
    assert full.preemptions_per_finished is not None
    assert full.preemptions_per_finished > 0.1
    assert full.recomputed_token_ratio > 0.02


def test_seats_bind_where_they_are_few() -> None:
    """With memory to spare every seat is taken in every step, and nobody is evicted."""
    full = saturate(MIX, SchedulerSettings(2048, 32, 12, 512), LAW)
    assert full.mean_running == 12
    assert full.preemptions_per_finished == 0


def test_weights_draw_the_mix_they_say() -> None:
    """A shape of weight zero never comes, and mean lengths follow the weights."""
    pool = [RequestShape(64, 20), RequestShape(64, 200), RequestShape(3000, 1000)]
    full = saturate(pool, SchedulerSettings(512, 32, 64, 512), LAW, weights=[3.0, 1.0, 0.0])
    assert full.mean_output_tokens == pytest.approx(65)
    assert full.throughput_rps == pytest.approx(full.finished / full.seconds, rel=0.1)


def test_one_seed_gives_one_result() -> None:
    """The same seed repeats the run exactly; another does not."""
    configured = SchedulerSettings(512, 32, 256, 512)
    first, again, other = (saturate(MIX, configured, LAW, steps=1000, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_an_empty_or_impossible_pool_is_refused() -> None:
    """The message says what is wrong."""
    configured = SchedulerSettings(10, 16)
    with pytest.raises(ValueError, match="empty"):
        saturate([], configured, LAW)
    with pytest.raises(ValueError, match="no room"):
        saturate([RequestShape(144, 10)], configured, LAW)


def test_the_fit_finds_the_law_and_never_a_negative_coefficient() -> None:
    """Exact data give the law back; data that fall with a regressor give it zero."""
    source = random.Random(1)
    steps = []
    for _ in range(200):
        n, p, k = source.randint(1, 60), source.choice([0, 0, 300]), source.randint(100, 16000)
        steps.append((n, p, k, LAW.seconds(n, p, k)))
    assert fit_step_law(steps).coefficients == pytest.approx(LAW.coefficients, rel=1e-6)
    falling = fit_step_law([(n, 0, 0, 0.1 - 0.001 * n) for n in range(1, 50)])
    assert falling.per_sequence_seconds == 0
    with pytest.raises(ValueError, match="no steps"):
        fit_step_law([])
    with pytest.raises(ValueError, match="non-negative"):
        StepLaw(0.01, -0.1)
