"""E[g] from a window's sums, worked out by hand; and which of its sources are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.traffic.lengths import Span
from kvwatch.core.traffic.request_demand import DemandEstimates, estimate, request_demand
from kvwatch.estimate import Reason
from kvwatch.queueing.demand import block_demand

BLOCK, CHUNK = 16, 2048


def span(number: int, **changes: object) -> Span:
    """Ten seconds in which ten requests of 100 and 50 tokens end, of whose prompts 40% are found in the cache.

    500 tokens are generated in 100 steps, so five decode together; 125,000 token·steps are held.
    """
    found = Span(
        end=10.0 * number,
        count=10.0,
        prompt_tokens=1000.0,
        output_tokens=500.0,
        generation_tokens=500.0,
        held_token_steps=125_000.0,
        steps=100.0,
        prompt_all=1000.0,
        prompt_computed=600.0,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


SPANS = [span(n) for n in range(6)]


def test_three_sources_are_told_apart() -> None:
    """The log's as it is; moments as blocks of requests that are all alike; occupancy by Little's law.

    125,000 token·steps are held while 500 tokens are made, which are ten requests' worth.
    """
    found = estimate(SPANS, BLOCK, CHUNK, 9_000.0)
    assert found.by_method["joint"] == 9_000.0
    assert found.by_method["moments"] == pytest.approx(float(block_demand(100, 50, BLOCK, CHUNK)), rel=0.01)
    assert found.by_method["occupancy"] == pytest.approx(12_500.0)
    assert found.requests == 60


def test_the_means_that_other_limits_need_are_told_with_it() -> None:
    """Steps: a chunk and 49 more; computed: 60 of 100 prompt tokens and 49 outputs; five decode together."""
    found = estimate(SPANS, BLOCK, CHUNK, None)
    assert found.steps == pytest.approx(50.0)
    assert found.compute_tokens == pytest.approx(60 + 50 - 1)
    assert found.cached_ratio == pytest.approx(0.4)
    assert found.decoding == pytest.approx(5.0)
    assert "joint" not in found.by_method


def test_occupancy_counts_tokens_made_while_the_memory_was_known() -> None:
    """Half of the spans have to know it; those that do not count on neither side."""
    blind = [replace(s, held_token_steps=None) for s in SPANS]
    half = estimate([*SPANS[:3], *blind[3:]], BLOCK, CHUNK, None)
    assert half.by_method["occupancy"] == pytest.approx(12_500.0)
    assert "occupancy" not in estimate([*SPANS[:2], *blind[2:]], BLOCK, CHUNK, None).by_method
    assert "occupancy" not in estimate([replace(s, held_token_steps=0.0) for s in SPANS], BLOCK, CHUNK, None).by_method


def test_a_cache_that_is_not_told_of_is_unknown_and_a_share_is_a_share() -> None:
    """One span without the counter, or no prompt; more computed than came is none found."""
    untold = estimate([*SPANS[1:], span(6, prompt_computed=None)], BLOCK, CHUNK, None)
    assert untold.cached_ratio is None
    assert untold.compute_tokens == pytest.approx(100 + 50 - 1)
    assert estimate([replace(s, prompt_all=0.0) for s in SPANS], BLOCK, CHUNK, None).cached_ratio is None
    assert estimate([replace(s, prompt_computed=1100.0) for s in SPANS], BLOCK, CHUNK, None).cached_ratio == 0.0
    assert estimate([replace(s, steps=0.0) for s in SPANS], BLOCK, CHUNK, None).decoding is None


def test_a_log_speaks_where_the_metrics_cannot_yet() -> None:
    """Too few intervals for second moments, or none of them with a token."""
    assert estimate(SPANS[:2], BLOCK, CHUNK, 9_000.0) == DemandEstimates({"joint": 9_000.0}, 20.0)
    silent = [replace(s, output_tokens=0.0) for s in SPANS]
    assert estimate(silent, BLOCK, CHUNK, None) == DemandEstimates({}, 60.0)


def test_the_residual_is_lengths_over_occupancy_and_the_logs_come_first() -> None:
    """How far two independent estimates are apart; unknown where one is missing."""
    both = DemandEstimates({"joint": 120.0, "moments": 110.0, "occupancy": 100.0}, 60)
    assert both.residual_ratio == pytest.approx(0.2)
    assert both.joint_moments_ratio == pytest.approx(120 / 110 - 1)
    assert replace(both, by_method={"moments": 110.0, "occupancy": 100.0}).residual_ratio == pytest.approx(0.1)
    for methods in ({"moments": 110.0}, {"occupancy": 100.0}, {}):
        assert replace(both, by_method=methods).residual_ratio is None
        assert replace(both, by_method=methods).joint_moments_ratio is None


@pytest.mark.parametrize(
    ("methods", "requests", "reason"),
    [
        ({"moments": 1.0}, 20.0, Reason.OK),
        ({"moments": 1.0}, 19.0, Reason.TOO_FEW_REQUESTS),
        ({"joint": 1.0}, 1.0, Reason.OK),
        ({}, 100.0, Reason.TOO_FEW_REQUESTS),
    ],
)
def test_twenty_requests_are_enough_and_a_log_is(methods: dict[str, float], requests: float, reason: Reason) -> None:
    """A log's sample is made only of enough requests."""
    found = request_demand(DemandEstimates(methods, requests))
    assert found.verdict is reason
    assert found.value == methods
