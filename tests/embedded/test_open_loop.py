"""Latencies of an engine under a steady load, against queueing theory and by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kvwatch.embedded.open_loop import open_loop
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw


@dataclass(frozen=True)
class Law:
    """A step law that knows nothing but what it is made of."""

    law: StepLaw

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        del share
        return self.law.seconds(decoding, prefill_tokens, resident_tokens)


def settings(seats: int) -> SchedulerSettings:
    """An engine with so many seats and plenty of memory."""
    return SchedulerSettings.from_capacity(1_000_000, max_num_seqs=seats, max_num_batched_tokens=8192)


def test_one_seat_and_constant_service_is_the_queue_m_d_1() -> None:
    """Its mean wait at ρ is ρ/(2(1−ρ)) of the service time (Pollaczek and Khinchine), and it grows as they say."""
    shape = RequestShape(16, 20)
    law = Law(StepLaw(0.02))
    service = 20 * 0.02
    for load in (0.5, 0.8):
        seen = open_loop([shape], settings(1), law, load / service, requests=5000, seed=3)
        # an arrival in the middle of a step of an idle engine is seen at once; of a busy one at the step's end
        expected = load / (2 * (1 - load)) * service
        assert float(seen.wait_seconds.mean()) == pytest.approx(expected, rel=0.12)
        assert float(seen.first_token_seconds.mean() - seen.wait_seconds.mean()) == pytest.approx(0.02, abs=1e-9)


def test_bursts_make_requests_wait() -> None:
    """With the same load, arrivals of a coefficient of variation of 2 wait longer than Poisson's, regular ones less."""
    waits = [
        float(
            open_loop(
                [RequestShape(16, 20)], settings(1), Law(StepLaw(0.02)), 1.75, requests=4000, burstiness=cv, seed=1
            ).wait_seconds.mean()
        )
        for cv in (0.3, 1.0, 2.0)
    ]
    assert waits[0] < 0.5 * waits[1]
    assert waits[2] > 1.8 * waits[1]


def test_time_between_tokens_is_that_of_the_steps_weighed_by_who_sees_them() -> None:
    """Steps with prompts are longer; they count once for each request that gets a token in them."""
    pool = [RequestShape(1000, 100)]
    law = Law(StepLaw(0.01, per_prefill_token_seconds=1e-4))
    seen = open_loop(pool, settings(64), law, 4.0, requests=2000, seed=5)
    long = seen.between_seconds > 0.011
    share = float(seen.between_counts[long].sum() / seen.between_counts.sum())
    # 4 prompts a second, 0.11 s each, in 1 s of which the rest is steps of 0.01 s
    steps_with, steps = 4.0, 4.0 + (1 - 4 * 0.11) / 0.01
    assert share == pytest.approx(steps_with / steps, rel=0.3)
    assert seen.between(0.5) == pytest.approx(0.01)
    assert seen.between(1.0) >= 0.11
    assert seen.first_token(0.5) >= 0.11


def test_the_same_seed_gives_the_same_and_another_one_does_not() -> None:
    """Everything drawn depends on the seed alone."""
    runs = [
        open_loop([RequestShape(16, 20)], settings(4), Law(StepLaw(0.02)), 7.5, requests=500, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(runs[0].wait_seconds, runs[1].wait_seconds)
    assert not np.array_equal(runs[0].first_token_seconds, runs[2].first_token_seconds)


@pytest.mark.parametrize(
    ("pool", "rate", "requests"), [([], 1.0, 1), ([RequestShape(1, 1)], 0.0, 1), ([RequestShape(1, 1)], 1.0, 0)]
)
def test_no_load_is_refused(pool: list[RequestShape], rate: float, requests: int) -> None:
    """There is nothing to be measured."""
    with pytest.raises(ValueError, match="no load"):
        open_loop(pool, settings(1), Law(StepLaw(0.02)), rate, requests=requests)
