"""The discrete-time engine against the closed forms, and against the linear theory near its equilibrium."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from bench.congestion.discrete_engine import DiscreteEngine, equilibrium_admissions
from bench.congestion.limit_cycle import worst_cycle
from kvwatch.queueing.congestion.stability import stability
from kvwatch.queueing.congestion.survival import survival_coefficients

M = 16_384.0


@pytest.mark.parametrize(("s", "o"), [(64, 192), (10, 200), (200, 64), (1, 100)])
def test_started_together_one_length_stays_in_the_worst_cycle(s: int, o: int) -> None:
    """M/(s + o) requests finish every o steps, for ever.

    In whole steps a request never holds more than s + o − 1 tokens: the last one is not kept.
    """
    steps = DiscreteEngine(M, [s], [o]).run(12 * o)
    cycle = worst_cycle(M, s, o)
    finishing = np.flatnonzero(steps.finished > 0)
    assert set(np.diff(finishing)) == {o} == {cycle.period_steps}
    assert steps.finished[finishing] == pytest.approx(M / (s + o - 1))
    assert steps.finished[finishing].mean() / o == pytest.approx(cycle.rate, rel=1.1 / (s + o - 1))


def test_the_loss_rises_to_half_as_prompts_get_short_against_outputs() -> None:
    """The model itself, started together against evenly spread, at s/o from 10 to 0.01: as the closed form has it."""
    losses = []
    for s in (1000, 300, 100, 30, 10, 3, 1):
        o = 100
        cycle = DiscreteEngine(M, [s], [o]).run(3 * o).after(o).finished.mean()
        spread = DiscreteEngine(M, [s], [o])
        spread.start_spread()
        even = spread.run(20).finished.mean()
        losses.append(1 - cycle / even)
        # whole steps: the last token is not kept, so both hold half a token or one less
        assert losses[-1] == pytest.approx(worst_cycle(M, s, o - 1).loss_ratio, rel=0.02)
    assert losses == sorted(losses)
    assert losses[0] < 0.05
    assert 0.49 < losses[-1] < 0.5


@pytest.mark.parametrize(("s", "o"), [([64], [192]), ([30, 200], [80, 120]), ([100, 100, 7], [10, 33, 60])])
def test_the_equilibrium_evicts_nobody_and_is_the_fixed_point(s: list[int], o: list[int]) -> None:
    """Evenly spread, M/Σc requests finish each step and memory stays full, as long as noise has not grown."""
    engine = DiscreteEngine(M, s, o)
    engine.start_spread()
    steps = engine.run(20)
    a = equilibrium_admissions(survival_coefficients(s, o), M)
    assert steps.evicted.sum() == 0
    assert steps.held == pytest.approx(np.full(20, M))
    assert steps.finished == pytest.approx(np.full(20, a), rel=1e-6)


def test_a_disturbed_equilibrium_of_one_length_falls_into_the_worst_cycle() -> None:
    """A hundredth more in a few admissions ends in the cycle that loses three eighths."""
    engine = DiscreteEngine(M, [64], [192])
    engine.start_spread([1.01] * 5)
    steps = engine.run(60 * 192)
    cycle = worst_cycle(M, 64, 192)
    assert steps.finished[:192].mean() == pytest.approx(cycle.equilibrium_rate, rel=0.01)
    assert steps.after(50 * 192).finished.mean() == pytest.approx(cycle.rate, rel=0.01)


def test_waves_of_a_stable_mix_die_out_as_fast_as_the_root_says() -> None:
    """The admissions' deviation from equilibrium shrinks by the dominant root's modulus a step."""
    source = np.random.default_rng(2)
    s, o = source.integers(1000, 3000, 12), np.array([8, 9, 11, 12, 13, 15, 16, 17, 19, 20, 21, 22])
    found = stability(s, o)
    engine = DiscreteEngine(1e6, s, o)
    engine.start_spread([0.97, 0.98, 0.99])
    steps = engine.run(200)
    a = equilibrium_admissions(survival_coefficients(s, o), 1e6)
    deviation = np.abs(steps.prefilled / s.mean() - a)
    assert steps.evicted.sum() == 0
    rate = log(deviation[150:190].max() / deviation[70:110].max()) / 80
    assert rate == pytest.approx(log(found.radius), rel=0.1)


def test_requests_that_keep_their_tokens_lose_no_work_but_compute_it_again() -> None:
    """As vLLM evicts, a cycle makes as many tokens a step as the equilibrium, and pays in prefill instead."""
    scratch = DiscreteEngine(M, [64], [192]).run(20 * 192).after(10 * 192)
    kept = DiscreteEngine(M, [64], [192], keep_progress=True).run(20 * 192).after(10 * 192)
    equilibrium = worst_cycle(M, 64, 192).equilibrium_rate
    assert scratch.finished.mean() < 0.65 * equilibrium
    assert kept.finished.mean() == pytest.approx(equilibrium, rel=0.05)
    assert kept.recomputed.mean() > 64 * kept.finished.mean()


def test_tokens_and_requests_are_conserved() -> None:
    """Memory is never exceeded, and the classes finish in the shares in which they come."""
    engine = DiscreteEngine(5000.0, [10, 50], [30, 90], [0.7, 0.3], keep_progress=True)
    steps = engine.run(9000)
    assert steps.held.max() <= 5000 * (1 + 1e-6)
    long_only = DiscreteEngine(5000.0, [10, 50], [30, 90], [0.0, 1.0], keep_progress=True).run(9000)
    assert steps.after(900).finished.mean() > long_only.after(900).finished.mean()
