"""The mean step of a full engine, against an engine that is acted out."""

from __future__ import annotations

import random
from math import exp

import pytest

from kvwatch.queueing.capacity import Demand, Limits
from kvwatch.queueing.full_load import composition, full_loads, prefill_share


def acted_out(running: int, prompt: int, output: int, budget: int, steps: int = 40_000) -> tuple[float, ...]:
    """(n, p, share of steps with prompt tokens) of an engine that always has so many requests of one kind inside.

    Ages begin at random, so that requests are admitted independently of each other. Prompts fit into the budget.
    """
    source = random.Random(1)
    left = [source.randrange(output + 1) for _ in range(running)]
    decoded = prefilled = with_prompts = 0
    for _ in range(steps):
        here = 0
        for i, remaining in enumerate(left):
            if remaining == 0:  # the prompt's only chunk emits the first of the output's tokens
                here += prompt
                left[i] = output - 1
            else:
                decoded += 1
                left[i] = remaining - 1
        assert here <= budget * 10
        prefilled += here
        with_prompts += here > 0
    return decoded / steps, prefilled / steps, with_prompts / steps


def test_the_mean_step_is_that_of_an_engine_acted_out() -> None:
    """By flow conservation: each step finishes N/E[T] requests, which brought their prompt and decoded the rest."""
    running, prompt, output = 12, 100, 60
    steps = 1 + output - 1
    demand = Demand(memory_token_steps=output * (prompt + (output - 1) / 2), steps=steps, compute_tokens=0)
    n, p, k, share = composition(running, demand, prompt, 1.0, 2048)
    decoding, prefill, _ = acted_out(running, prompt, output, 2048)
    assert n == pytest.approx(decoding, rel=0.01)
    assert p == pytest.approx(prefill, rel=0.01)
    assert k == pytest.approx(running * (prompt + (output - 1) / 2))
    assert share == pytest.approx(1 - exp(-running / steps))


def test_the_composition_needs_the_steps_of_a_request() -> None:
    """Without E[T] nothing can be said, and a number would be a lie."""
    with pytest.raises(ValueError, match=r"E\[T\]"):
        composition(10, Demand(1000.0), 100, 1.0, None)


def test_the_share_of_steps_with_prompts_is_poissons_but_no_less_than_the_budget_demands() -> None:
    """Chunks at random leave exp(−chunks a step) without; 300 tokens a step at 400 at most need three of four steps."""
    assert prefill_share(0.0, 100.0, 2048) == 0.0
    assert prefill_share(50.0, 100.0, None) == pytest.approx(1 - exp(-0.5))
    assert prefill_share(300.0, 600.0, 400) == pytest.approx(0.75)
    assert prefill_share(300.0, 600.0, None) == pytest.approx(1 - exp(-0.5))
    assert prefill_share(900.0, 100.0, 400) == 1.0
    assert prefill_share(0.5, 0.1, None) == pytest.approx(1 - exp(-0.5))


def test_each_known_limit_has_its_full_engine_and_its_rate() -> None:
    """μ = N/(b·E[T]), with the step time at that engine's own composition; what is not known limits nothing."""
    demand = Demand(memory_token_steps=20_000.0, steps=100.0, compute_tokens=250.0)
    loads = full_loads(
        demand, Limits(32_000.0, 64, 512), 150.0, 1.0, lambda n, p, k, _: 0.01 + 1e-4 * n + 1e-5 * p + 0 * k
    )
    assert {limit: load.running for limit, load in loads.items()} == pytest.approx(
        {"kv": 160, "seqs": 64, "tokens": 204.8}
    )
    seats = loads["seqs"]
    assert seats.composition[0] == pytest.approx(64 - 0.64)
    assert seats.composition[1] == pytest.approx(0.64 * 150)
    assert seats.step_seconds == pytest.approx(0.01 + 1e-4 * 63.36 + 1e-5 * 96)
    assert seats.rate == pytest.approx(64 / (seats.step_seconds * 100))
    assert list(full_loads(demand, Limits(seqs=64), 150.0, 1.0, lambda *_: 0.01)) == ["seqs"]
    assert full_loads(Demand(20_000.0), Limits(32_000.0, 64, 512), 150.0, 1.0, lambda *_: 0.01) == {}
