"""Memory-work of a request against a loop over the steps it lives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.queueing.demand import (
    block_demand,
    closed_form,
    mean_computed,
    mean_demand,
    mean_steps,
    prompt_quantiles,
    request_demand,
)
from kvwatch.stats.group_moments import PairMoments, pair_moments
from tests.queueing.steps import held_step_by_step

blocks = st.sampled_from([1, 2, 7, 16, 32])
lengths = st.integers(1, 300)


@given(lengths, lengths, blocks, st.integers(1, 12))
def test_block_demand_is_the_sum_over_the_steps_that_a_request_lives(
    prompt: int, output: int, block: int, blocks_per_chunk: int
) -> None:
    """With chunks of whole blocks the formula and the loop agree exactly."""
    chunk = block * blocks_per_chunk
    held = held_step_by_step(prompt, output, block, chunk)
    assert float(block_demand(prompt, output, block, chunk)) == sum(held)


@given(st.integers(1, 10**6), st.integers(1, 10**6), blocks, st.integers(1, 9000))
def test_memory_work_of_one_request_is_that_of_the_array_formula(s: int, o: int, block: int, chunk: int) -> None:
    """The scalar form is the same formula."""
    assert request_demand(s, o, block, chunk) == pytest.approx(float(block_demand(s, o, block, chunk)), rel=1e-9)


@given(lengths, lengths, blocks, st.integers(1, 200))
def test_chunks_that_end_inside_a_block_are_off_by_half_a_block_a_chunk_at_most(
    prompt: int, output: int, block: int, chunk: int
) -> None:
    """The rounding of unfinished prompts is a mean; everything else is exact."""
    held = held_step_by_step(prompt, output, block, chunk)
    chunks = -(-prompt // chunk)
    assert abs(float(block_demand(prompt, output, block, chunk)) - sum(held)) <= (block - 1) / 2 * (chunks - 1) + 1e-6


@given(st.lists(st.tuples(lengths, lengths), min_size=1, max_size=20))
def test_arrays_of_lengths_give_an_array_of_demands(pairs: list[tuple[int, int]]) -> None:
    """Lengths go through elementwise."""
    s, o = zip(*pairs, strict=True)
    together = block_demand(s, o, 32, 64)
    assert together.shape == (len(pairs),)
    assert together.tolist() == [float(block_demand(a, b, 32, 64)) for a, b in pairs]


@given(lengths, st.integers(2, 300), st.sampled_from([1, 16, 32]))
def test_blocks_never_hold_less_than_the_tokens_written(prompt: int, output: int, block: int) -> None:
    """Whole blocks hold at least the tokens, and at most B − 1 more in a step."""
    tokens = float(block_demand(prompt, output, 1, 4096))
    held = float(block_demand(prompt, output, block, 4096))
    assert tokens <= held <= tokens + (block - 1) * output


@given(st.integers(1, 20), st.integers(1, 500), st.sampled_from([64, 512]))
def test_the_closed_form_differs_from_the_tokens_written_by_its_step_convention(
    chunks: int, output: int, chunk: int
) -> None:
    """Where ŝ divides s, the paper has the request live one step more, in which it holds all s + o tokens."""
    prompt = chunks * chunk
    tokens = float(block_demand(prompt, output, 1, chunk))
    assert closed_form(prompt, output, chunk) - tokens == pytest.approx(prompt + output)


def test_in_blocks_of_32_the_closed_form_is_a_few_percent_low_on_chat_lengths() -> None:
    """On outputs and prompts of 10 to 400 tokens, whole blocks add 3–9% to the paper's form."""
    s, o = np.meshgrid(np.arange(10, 401), np.arange(10, 401))
    paper = np.mean([closed_form(a, b, 512) for a, b in zip(s.ravel()[::97], o.ravel()[::97], strict=True)])
    allocated = block_demand(s.ravel()[::97], o.ravel()[::97], 32, 512).mean()
    assert 1.03 < allocated / paper < 1.09


def moments_of(s: np.ndarray, o: np.ndarray) -> PairMoments:
    """Exact moments of these pairs."""
    moments = pair_moments([1.0] * len(s), s.tolist(), o.tolist())
    assert moments is not None
    return moments


def lognormal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Long-tailed lengths that rise together."""
    z = rng.multivariate_normal([5.0, 4.6], [[0.5, 0.25], [0.25, 0.6]], size=20_000)
    s, o = np.ceil(np.exp(z)).T
    return s, o


def uniform(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Independent lengths of equal likelihood."""
    return rng.integers(10, 401, 20_000).astype(float), rng.integers(10, 401, 20_000).astype(float)


def fixed(_: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One length for all."""
    return np.full(100, 64.0), np.full(100, 192.0)


@pytest.mark.long
@pytest.mark.parametrize("law", [lognormal, uniform, fixed])
@pytest.mark.parametrize(("block", "chunk"), [(16, 2048), (32, 512), (32, 96), (1, 2048)])
def test_demand_from_moments_is_the_mean_of_the_demands(law: object, block: int, chunk: int) -> None:
    """Within 1% on 20,000 correlated pairs, long prompts cut into several chunks included."""
    s, o = law(np.random.default_rng(1))  # type: ignore[operator]
    exact = block_demand(s, o, block, chunk).mean()
    assert mean_demand(moments_of(s, o), block, chunk) == pytest.approx(exact, rel=0.01)
    steps = np.mean([len(held_step_by_step(int(a), int(b), block, chunk)) for a, b in zip(s, o, strict=True)])
    assert mean_steps(moments_of(s, o), chunk) == pytest.approx(steps, rel=0.01)


def test_the_product_of_the_means_would_be_far_too_low() -> None:
    """On correlated long-tailed lengths the covariance and the variance are a large part of E[g]."""
    s, o = lognormal(np.random.default_rng(1))
    moments = moments_of(s, o)
    naive = PairMoments(moments.requests, moments.groups, moments.mean_s, moments.mean_o, 0.0, 0.0, 0.0)
    assert mean_demand(naive, 16, 2048) < 0.75 * mean_demand(moments, 16, 2048)


@given(st.floats(0, 5000), st.floats(0, 1e6))
def test_quantiles_keep_the_mean_and_are_at_least_a_token(mean: float, variance: float) -> None:
    """Equally likely lengths, rising, whose mean is the prompts'."""
    q = prompt_quantiles(mean, variance)
    assert len(q) == 64
    assert q.min() >= 1
    assert np.all(np.diff(q) >= 0)
    if mean >= 1 and q.min() > 1:
        assert q.mean() == pytest.approx(mean)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5000), st.integers(0, 5000)), min_size=4, max_size=30))
def test_demand_from_sums_that_no_request_could_have_is_still_at_least_one_prompt(
    groups: list[tuple[int, int, int]],
) -> None:
    """Unbiased moments of few large groups can leave what is possible; E[g] then stays positive."""
    k = [float(g[0]) for g in groups]
    moments = pair_moments(k, [g[0] + g[1] for g in groups], [g[0] + g[2] for g in groups])
    assert moments is not None
    for block in (1, 32):
        assert mean_demand(moments, block, 2048) >= max(moments.mean_s, moments.mean_o) * (1 - 1e-9)


@pytest.mark.parametrize(("cached", "computed"), [(None, 64 + 10 - 1), (0.0, 64 + 10 - 1), (0.5, 32 + 10 - 1)])
def test_every_token_but_the_last_is_computed_once(cached: float | None, computed: float) -> None:
    """The prompt, but for what the cache had of it, and each output token that another one follows."""
    moments = moments_of(np.full(100, 64.0), np.full(100, 10.0))
    assert mean_computed(moments, cached) == pytest.approx(computed)
