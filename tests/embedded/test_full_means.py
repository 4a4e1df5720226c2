"""A run of a few waves tells what a run of a hundred does, whatever the lengths."""

from __future__ import annotations

import random

import numpy as np
import pytest

from kvwatch.embedded.full_means import StepMeans, conserved, mean_life, trapezoid, weighted_means
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw

LAW = StepLaw(11.1e-3, 1e-5, 42.4e-6, 68e-9)
"""A step law as measured on an H100."""
ROOMY = SchedulerSettings.from_capacity(288_608, max_num_seqs=256, max_num_batched_tokens=8192, max_model_len=16_384)
TIGHT = SchedulerSettings.from_capacity(60_000, max_num_seqs=256, max_num_batched_tokens=2048, max_model_len=16_384)


def _lognormal(count: int, prompt: float, output: float, sigma: float) -> list[RequestShape]:
    source = random.Random(1)
    return [
        RequestShape(
            max(1, round(prompt * source.lognormvariate(0, 1.0))),
            min(4000, max(1, round(output * source.lognormvariate(0, sigma)))),
        )
        for _ in range(count)
    ]


NARROW_SOURCE, WIDE_SOURCE = random.Random(2), random.Random(3)
FIXED = [RequestShape(986, 128)]
NARROW = [RequestShape(NARROW_SOURCE.randint(900, 1080), NARROW_SOURCE.randint(120, 136)) for _ in range(256)]
WIDE = [RequestShape(WIDE_SOURCE.randint(10, 1600), WIDE_SOURCE.randint(10, 1600)) for _ in range(512)]
LONG_TAILED = _lognormal(512, 400, 220, 0.9)


@pytest.mark.parametrize(
    ("pool", "steps"),
    [(FIXED, 1500), (NARROW, 1500), (WIDE, 4000), (LONG_TAILED, 3500)],
    ids=["fixed", "narrow", "wide", "long-tailed"],
)
@pytest.mark.parametrize("settings", [ROOMY, TIGHT], ids=["seats", "memory"])
def test_a_short_run_tells_the_rate_of_a_long_one(
    pool: list[RequestShape], steps: int, settings: SchedulerSettings
) -> None:
    """Within 1% in the mean over seeds, where requests work in waves and where few long ones weigh most.

    Tokens counted over the same steps are 3% too many where all outputs are alike.
    """
    long = saturate(pool, settings, LAW, steps=40_000, seed=99).throughput_rps
    rates = [saturate(pool, settings, LAW, steps=steps, seed=seed).throughput_rps for seed in range(4)]
    assert sum(rates) / len(rates) == pytest.approx(long, rel=0.01)


@pytest.mark.parametrize("pool", [FIXED, NARROW, WIDE, LONG_TAILED], ids=["fixed", "narrow", "wide", "long-tailed"])
def test_what_is_conserved_is_what_is_counted_in_the_long_run(pool: list[RequestShape]) -> None:
    """Over forty thousand steps of a full memory the rate by Little's law is that of the requests that finished."""
    long = saturate(pool, TIGHT, LAW, steps=40_000, seed=99)
    # those that finish within forty thousand steps scatter by half a percent
    assert long.throughput_rps == pytest.approx(long.finished / long.seconds, rel=0.007)


def test_a_ripple_leaves_no_trace_in_a_trapezoid_of_its_period() -> None:
    """Whatever the number of waves, and wherever the run ends within one."""
    for steps in (300, 333, 350):
        weights = trapezoid(steps, 100)
        ripple = [1.0 if place % 100 < 30 else 0.0 for place in range(steps)]
        assert float(weights @ ripple / weights.sum()) == pytest.approx(0.3, abs=0.002)


def test_a_run_shorter_than_two_lives_still_has_means() -> None:
    """The trapezoid becomes a triangle; a single step is its own mean."""
    assert trapezoid(5, 100).tolist() == [1, 2, 3, 2, 1]
    assert trapezoid(1, 100).tolist() == [1]


def test_a_life_is_that_of_its_steps_one_by_one() -> None:
    """A prompt of 40 in chunks of 32 and three outputs hold 32, 48, 48 and 48 tokens of blocks of 16."""
    settings = SchedulerSettings(100, 16, max_num_seqs=8, max_num_batched_tokens=32)
    life = mean_life([RequestShape(40, 3)], None, settings)
    assert life.unfinished_token_steps == 32
    assert life.token_steps == 48 + 48 + 48
    assert (life.steps, life.chunks, life.prompt_tokens, life.output_tokens, life.met_steps) == (4, 2, 40, 3, 4)


def test_long_requests_are_met_more_often_than_they_come() -> None:
    """Of a request of one step and one of nine, equally frequent, nine in ten that run are the long one."""
    life = mean_life([RequestShape(1, 1), RequestShape(1, 9)], None, SchedulerSettings(100))
    assert life.steps == 5
    assert life.met_steps == pytest.approx((1 * 1 + 9 * 9) / 10)


def test_where_blocks_are_shared_the_means_stay_as_they_were_seen() -> None:
    """What a request holds then depends on who else runs."""
    settings = SchedulerSettings(512, 32, 64, 512, enable_prefix_caching=True)
    pool = [RequestShape(200, 50, 160)]
    seen = weighted_means(np.array([StepMeans(8, 1, 200, 1, 0, 200, 2000, 0, 9, 1, 0)] * 10))
    full = saturate(pool, settings, LAW, steps=2000)
    assert full.throughput_rps == pytest.approx(full.finished / full.seconds, rel=0.02)
    assert conserved(seen, mean_life(pool, None, settings), settings) is seen
