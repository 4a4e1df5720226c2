"""Service rates against the numbers that the theory's paper prints, and against each other."""

from __future__ import annotations

from math import exp

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
    paper_service_rate,
    replicas_required,
    stable_limit,
)
from kvwatch.queueing.demand import closed_form
from kvwatch.queueing.full_load import composition, full_loads, prefill_share

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


def rates_of(demand: Demand, limits: Limits) -> dict[str, float]:
    """μ under each limit with a step of 50 ms whatever is in it."""
    loads = full_loads(demand, limits, 100.0, 1.0, lambda _n, _p, _k, _share: 0.05)
    return {limit: load.rate for limit, load in loads.items()}


positive = st.floats(1.0, 1e6)


@given(positive, positive, positive, positive)
def test_the_kv_limit_is_the_papers_formula(memory: float, steps: float, kv_tokens: float, seats: float) -> None:
    """E[T] cancels: how long a request runs does not matter where memory binds."""
    rates = rates_of(Demand(memory, steps), Limits(kv_tokens, seats))
    assert rates[KV] == pytest.approx(paper_service_rate(kv_tokens, 0.05, memory))
    assert rates[SEQS] == pytest.approx(seats / (0.05 * steps))


@given(st.builds(Demand, positive, positive, positive), st.builds(Limits, positive, positive, positive))
def test_the_smallest_rate_binds_and_with_one_step_time_so_does_the_smallest_concurrency(
    demand: Demand, limits: Limits
) -> None:
    """μ is the minimum over the limits."""
    rates = rates_of(demand, limits)
    running = full_load_concurrency(demand, limits)
    assert set(rates) == set(running) == {KV, SEQS, TOKENS}
    limit = binding(rates)
    assert limit is not None
    assert rates[limit] == min(rates.values())
    assert running[limit] == pytest.approx(min(running.values()))


def test_each_limit_can_bind() -> None:
    """Few seats, little memory, and a small budget with long prompts."""
    demand = Demand(memory_token_steps=100_000, steps=200, compute_tokens=1000)
    assert binding(rates_of(demand, Limits(16_352, 12, 2048))) == SEQS
    assert binding(rates_of(demand, Limits(16_352, 256, 2048))) == KV
    assert binding(rates_of(demand, Limits(1_000_000, 256, 512))) == TOKENS


def test_what_is_not_known_limits_nothing() -> None:
    """A missing M, seats, budget or E[w] leaves its limit out, a missing E[T] all; no limit binds nothing."""
    demand = Demand(memory_token_steps=100_000, steps=200, compute_tokens=1000)
    assert set(rates_of(demand, Limits(seqs=12))) == {SEQS}
    assert set(rates_of(demand, Limits(16_352, None, 512))) == {KV, TOKENS}
    assert set(rates_of(Demand(100_000, 200), Limits(16_352, 12, 512))) == {KV, SEQS}
    assert rates_of(Demand(100_000), Limits(16_352, 12, 512)) == {}
    assert rates_of(demand, Limits()) == {}
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


def test_a_full_engines_step_holds_what_flows_through_it() -> None:
    """Fifty running for 200 steps each: a quarter finishes a step, and brings its prompt, its memory and its chunks."""
    demand = Demand(memory_token_steps=60_000, steps=200, compute_tokens=500)
    # half a chunk a step that come independently: exp(-1/2) of the steps have none
    assert composition(50, demand, 300.0, 2.0, None) == pytest.approx((49.5, 75.0, 15_000.0, 1 - exp(-0.5)))


def test_the_token_budget_spreads_prompts_over_steps() -> None:
    """Where chunks would pile up in a few steps, the budget lets no step take more; without prompts no step has any."""
    assert prefill_share(90.0, 300.0, 100.0) == pytest.approx(0.9)
    assert prefill_share(300.0, 100.0, 100.0) == 1.0
    assert prefill_share(0.0, 100.0, 100.0) == 0.0


def _linear(n: float, p: float, k: float, _share: float) -> float:
    return 0.01 + 0.001 * n + 1e-4 * p + 1e-6 * k


def test_the_rate_under_a_limit_is_that_of_the_step_which_it_fills() -> None:
    """Seats for 10 and memory for 50: the step time is evaluated at each limit's own composition."""
    demand = Demand(memory_token_steps=60_000, steps=200, compute_tokens=500)
    loads = full_loads(demand, Limits(15_000, 10), 300.0, 2.0, _linear)
    assert loads[SEQS].step_seconds == pytest.approx(0.01 + 0.0099 + 0.0015 + 0.003)
    assert loads[KV].step_seconds == pytest.approx(0.01 + 0.0495 + 0.0075 + 0.015)
    assert loads[SEQS].rate == pytest.approx(10 / (0.0244 * 200))
    assert binding({limit: load.running for limit, load in loads.items()}) == SEQS
