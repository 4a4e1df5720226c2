"""What requests share, told by holding their lengths against the memory that is held; and a mix made of a log."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.core.traffic.joint_mix import joint_mix
from kvwatch.core.traffic.joint_sample import JointSample
from kvwatch.core.traffic.mix import Mix, held_unshared, sharing_ratio
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.queueing.demand import block_demand
from kvwatch.stats.group_moments import PairMoments

BLOCK, CHUNK = 16, 2048
PROMPTS, OUTPUTS = np.array([100.0, 300.0] * 8), np.array([50.0, 150.0] * 8)
MEAN_S, MEAN_O, STEPS = 200.0, 100.0, 100.0
LENGTHS_DEMAND = float(block_demand(PROMPTS, OUTPUTS, BLOCK, CHUNK).mean())
"""E[g] if nothing were shared [token·steps]."""


def demand(cached: float | None, occupancy: float | None, together: float | None = 20.0) -> DemandEstimates:
    """What the metrics say of requests of which a share of the prompt is found in the cache."""
    methods = {"moments": LENGTHS_DEMAND} | ({} if occupancy is None else {"occupancy": occupancy})
    moments = PairMoments(1000, 100, MEAN_S, MEAN_O, 100.0**2, 50.0**2, 5000.0)
    return DemandEstimates(methods, 1000, moments, STEPS, 0.0, cached, together)


def saved(cached: float, sharing: float, together: float = 20.0) -> float:
    """Memory that a request saves by sharing a part of what is cached: its prefix, but for its part of the one copy."""
    return sharing * cached * MEAN_S * STEPS * (1 - 1 / together)


@pytest.mark.parametrize("sharing", [0.0, 0.3, 1.0])
def test_sharing_is_what_is_missing_in_memory_over_what_all_could_save(sharing: float) -> None:
    """A system prompt is held once by all that run; a conversation's history is cached, too, but shared by nobody."""
    known = demand(0.5, LENGTHS_DEMAND - saved(0.5, sharing))
    assert sharing_ratio(known) == pytest.approx(sharing)
    assert held_unshared(known, sharing) == pytest.approx(LENGTHS_DEMAND)


def test_sharing_is_a_share_whatever_noise_says() -> None:
    """More missing than can be saved, or less than nothing."""
    assert sharing_ratio(demand(0.5, LENGTHS_DEMAND - 2 * saved(0.5, 1.0))) == 1.0
    assert sharing_ratio(demand(0.5, 1.5 * LENGTHS_DEMAND)) == 0.0


def test_what_cannot_be_told_is_taken_for_shared_where_anything_is_cached() -> None:
    """Without occupancy; where a request runs alone; where all could save less than a twentieth."""
    assert sharing_ratio(demand(0.5, None)) == 1.0
    assert sharing_ratio(demand(0.5, LENGTHS_DEMAND, together=1.0)) == 1.0
    assert sharing_ratio(demand(0.5, LENGTHS_DEMAND, together=None)) == 1.0
    little = 0.049 * LENGTHS_DEMAND / (MEAN_S * STEPS * 0.95)
    assert sharing_ratio(demand(little, LENGTHS_DEMAND)) == 1.0
    assert sharing_ratio(demand(1.1 * little, LENGTHS_DEMAND)) == 0.0
    for nothing in (0.0, None):
        assert sharing_ratio(demand(nothing, 0.5 * LENGTHS_DEMAND)) == 0.0


def test_without_occupancy_nobody_knows_what_is_held() -> None:
    """Unknown stays unknown."""
    assert held_unshared(demand(0.5, None), 1.0) is None


def test_a_prefix_that_all_share_grows_with_nobody_and_is_no_longer_than_a_prompt() -> None:
    """Of 100 and 300 tokens behind a prefix of 160, one token and 140 are a request's own."""
    mix = Mix(demand(0.8, None), np.array([100.0, 300.0]), np.array([50.0, 150.0]), 160, 1.0, 0.0, 1.0)
    prompts, outputs = mix.grown_lengths()
    assert prompts.tolist() == [1.0, 140.0]
    assert outputs.tolist() == [50.0, 150.0]
    assert [(r.prompt_tokens, r.output_tokens, r.shared_prefix_tokens) for r in mix.pool()] == [
        (100, 50, 100),
        (300, 150, 160),
    ]


def logged(requests: float = 400.0) -> JointSample:
    """A log of the same requests."""
    moments = PairMoments(requests, 100, MEAN_S, MEAN_O, 100.0**2, 50.0**2, 5000.0)
    return JointSample(requests, LENGTHS_DEMAND, moments, 1.0, PROMPTS, OUTPUTS)


def test_a_logs_mix_knows_from_the_metrics_what_the_prefix_cache_saves() -> None:
    """The prefix in whole blocks, the prompts that are computed, and how much of it is shared in memory."""
    mix = joint_mix(demand(0.5, LENGTHS_DEMAND - saved(0.5, 1.0)), logged(), BLOCK, CHUNK)
    assert mix.sharing == pytest.approx(1.0)
    assert mix.prefix_tokens == 96  # half of 200 tokens, in blocks of 16
    assert mix.demand.compute_tokens == pytest.approx(0.5 * MEAN_S + MEAN_O - 1)
    nothing = joint_mix(demand(None, LENGTHS_DEMAND), logged(), BLOCK, CHUNK)
    assert (nothing.sharing, nothing.prefix_tokens) == (0.0, 0)
    assert nothing.demand.compute_tokens == pytest.approx(MEAN_S + MEAN_O - 1)


def test_a_logs_mix_has_the_logs_lengths_and_is_as_sure_as_it_has_requests() -> None:
    """Its E[g], its steps, its count; the deviation is that of a mean of so many."""
    mix = joint_mix(demand(None, LENGTHS_DEMAND), logged(400), BLOCK, CHUNK)
    assert mix.held == mix.demand.by_method["joint"] == LENGTHS_DEMAND
    assert mix.demand.by_method["moments"] == LENGTHS_DEMAND
    assert mix.demand.steps == pytest.approx(1.0 + MEAN_O - 1)
    assert mix.demand.requests == 400
    g = block_demand(PROMPTS, OUTPUTS, BLOCK, CHUNK)
    assert mix.deviation == pytest.approx(float(g.std() / g.mean()) / 20)
    assert np.array_equal(mix.prompt_tokens, PROMPTS)
