"""Service rates against the numbers that the theory's paper prints, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.queueing.capacity import (
    KV,
    SEQS,
    TOKENS,
    Demand,
    Limits,
    binding,
    full_load_concurrency,
    mixture_rate,
    paper_service_rate,
    replicas_required,
    service_rates,
    stable_limit,
)
from kvwatch.queueing.demand import closed_form

KV_TOKENS = 131_000
CHUNK_TOKENS = 512

PAPER_TABLE = [
    ((10, 1600), (10, 1600), 0.0372, "3.263"),
    ((10, 2133), (10, 1066), 0.0430, "3.956"),
    ((10, 1066), (10, 2133), 0.0337, "2.902"),
]
"""Ranges of s and of o (uniform, ends included), mean step time [s], μ [requests/s] as printed."""


def paper_demand(prompts: tuple[int, int], outputs: tuple[int, int]) -> float:
    """E[g] over all pairs of the two ranges."""
    s = np.arange(prompts[0], prompts[1] + 1, dtype=float)[:, np.newaxis]
    o = np.arange(outputs[0], outputs[1] + 1, dtype=float)[np.newaxis, :]
    return float(np.mean(closed_form(s, o, CHUNK_TOKENS)))


@pytest.mark.parametrize(("prompts", "outputs", "step_seconds", "printed"), PAPER_TABLE)
def test_the_papers_table_comes_out_to_the_printed_digit(
    prompts: tuple[int, int], outputs: tuple[int, int], step_seconds: float, printed: str
) -> None:
    """μ = M/(b̄·E[g]) with M = 131,000 and chunks of 512, as in arXiv 2605.04595."""
    assert f"{paper_service_rate(KV_TOKENS, step_seconds, paper_demand(prompts, outputs)):.3f}" == printed


@pytest.mark.parametrize(("prompts", "outputs", "step_seconds", "printed"), PAPER_TABLE)
def test_eight_replicas_sustain_eight_times_one(
    prompts: tuple[int, int], outputs: tuple[int, int], step_seconds: float, printed: str
) -> None:
    """Rates add over engines, so that eight times the rate of one needs eight of them, and a little more needs nine."""
    one = paper_service_rate(KV_TOKENS, step_seconds, paper_demand(prompts, outputs))
    eight = paper_service_rate(8 * KV_TOKENS, step_seconds, paper_demand(prompts, outputs))
    assert eight == pytest.approx(8 * one)
    assert eight == pytest.approx(8 * float(printed), abs=8 * 0.0005)
    assert replicas_required(8 * one, one, 1.0) == 8
    assert replicas_required(8.01 * one, one, 1.0) == 9


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(1e3, 1e7)), min_size=1, max_size=6))
def test_the_mixture_rule_is_the_rate_of_the_mixed_demand(classes: list[tuple[float, float]]) -> None:
    """(Σ q/μ)⁻¹ over classes is M/(b̄·E[g]) with E[g] mixed by the same shares."""
    weights, demands = zip(*classes, strict=True)
    shares = [w / sum(weights) for w in weights]
    rates = [paper_service_rate(KV_TOKENS, 0.04, g) for g in demands]
    mixed = sum(q * g for q, g in zip(shares, demands, strict=True))
    assert mixture_rate(shares, rates) == pytest.approx(paper_service_rate(KV_TOKENS, 0.04, mixed))


def test_a_mixture_needs_a_rate_for_every_share() -> None:
    """Lists of unequal length are a mistake, not a smaller mixture."""
    with pytest.raises(ValueError, match="zip"):
        mixture_rate([0.5, 0.5], [3.0])


STEP = {KV: 0.05, SEQS: 0.05, TOKENS: 0.05}
positive = st.floats(1.0, 1e6)


@given(positive, positive, positive, positive)
def test_the_kv_limit_is_the_papers_formula(memory: float, steps: float, kv_tokens: float, seats: float) -> None:
    """E[T] cancels: how long a request runs does not matter where memory binds."""
    rates = service_rates(Demand(memory, steps), Limits(kv_tokens, seats), STEP)
    assert rates[KV] == pytest.approx(paper_service_rate(kv_tokens, 0.05, memory))
    assert rates[SEQS] == pytest.approx(seats / (0.05 * steps))


@given(st.builds(Demand, positive, positive, positive), st.builds(Limits, positive, positive, positive))
def test_the_smallest_rate_binds_and_with_one_step_time_so_does_the_smallest_concurrency(
    demand: Demand, limits: Limits
) -> None:
    """μ is the minimum over the limits."""
    rates = service_rates(demand, limits, STEP)
    running = full_load_concurrency(demand, limits)
    assert set(rates) == set(running) == {KV, SEQS, TOKENS}
    limit = binding(rates)
    assert limit is not None
    assert rates[limit] == min(rates.values())
    assert running[limit] == pytest.approx(min(running.values()))


def test_each_limit_can_bind() -> None:
    """Few seats, little memory, and a small budget with long prompts."""
    demand = Demand(memory_token_steps=100_000, steps=200, compute_tokens=1000)
    assert binding(service_rates(demand, Limits(16_352, 12, 2048), STEP)) == SEQS
    assert binding(service_rates(demand, Limits(16_352, 256, 2048), STEP)) == KV
    assert binding(service_rates(demand, Limits(1_000_000, 256, 512), STEP)) == TOKENS
    # a limit reached with longer steps can bind with more requests running
    assert binding(service_rates(demand, Limits(16_352, 30), {KV: 0.03, SEQS: 0.05})) == SEQS


def test_what_is_not_known_limits_nothing() -> None:
    """A missing M, seats, budget, E[T], E[w] or step time leaves its limit out, and no limit binds nothing."""
    demand = Demand(memory_token_steps=100_000, steps=200, compute_tokens=1000)
    assert set(service_rates(demand, Limits(seqs=12), STEP)) == {SEQS}
    assert set(service_rates(demand, Limits(16_352, None, 512), STEP)) == {KV, TOKENS}
    assert set(service_rates(Demand(100_000, 200), Limits(16_352, 12, 512), STEP)) == {KV, SEQS}
    assert set(service_rates(Demand(100_000), Limits(16_352, 12, 512), STEP)) == {KV}
    assert service_rates(Demand(100_000), Limits(None, 12, 512), STEP) == {}
    assert service_rates(Demand(100_000), Limits(16_352), {SEQS: 0.05}) == {}
    assert set(service_rates(demand, Limits(16_352, 12), {KV: 0.05})) == {KV}
    assert service_rates(demand, Limits(), STEP) == {}
    assert binding({}) is None


def test_only_memory_is_unstable_before_its_rate_is_reached() -> None:
    """1 − δ where KV binds; a full house of seats or budget turns nobody's memory away."""
    assert stable_limit(800, 16_000, KV) == pytest.approx(0.95)
    assert stable_limit(800, 16_000, SEQS) == 1.0
    assert stable_limit(800, 16_000, TOKENS) == 1.0


@pytest.mark.parametrize(
    ("arrivals", "rate", "target", "replicas"),
    [
        (0.0, 3.0, 0.8, 0),
        (0.001, 3.0, 0.8, 1),
        (2.4, 3.0, 0.8, 1),  # exactly at the target, despite 3·0.8 = 2.4000000000000004
        (2.41, 3.0, 0.8, 2),
        (24.0, 3.0, 0.8, 10),
        (24.1, 3.0, 0.8, 11),
        (0.3, 0.1, 1.0, 3),  # 0.3/0.1 = 2.9999999999999996
        (0.7, 0.1, 1.0, 7),  # 0.7/0.1 = 6.999999999999999
        (1e6, 0.5, 0.5, 4_000_000),
    ],
)
def test_replicas_are_as_few_as_keep_each_below_the_target(
    arrivals: float, rate: float, target: float, replicas: int
) -> None:
    """Rounded up, except where only rounding in the last digit asks for one more."""
    assert replicas_required(arrivals, rate, target) == replicas


@given(st.floats(0, 1e4), st.floats(0.01, 100), st.floats(0.1, 1.0))
def test_one_replica_fewer_would_exceed_the_target(arrivals: float, rate: float, target: float) -> None:
    """The number is sufficient and necessary, up to rounding."""
    n = replicas_required(arrivals, rate, target)
    assert n * rate * target >= arrivals * (1 - 1e-8) - 1e-8
    assert n == 0 or (n - 1) * rate * target < arrivals
