"""The engine from event to event, against queueing theory and against the engine that goes step by step."""

from __future__ import annotations

from itertools import islice
from random import Random

import numpy as np
import pytest

from kvwatch.embedded.coarse_engine import CoarseEngine
from kvwatch.embedded.luck import as_in_the_long_run, long_run
from kvwatch.embedded.open_loop import open_loop
from kvwatch.embedded.saturation import saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Lognormal

STEP_SECONDS = 0.02


class Law:
    """Steps get longer with what they do."""

    def __init__(self, decoding: float = 0.0, prefill: float = 0.0, resident: float = 0.0) -> None:
        self.each = decoding, prefill, resident

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        contents = (decoding, prefill_tokens, resident_tokens)
        return STEP_SECONDS + sum(cost * content for cost, content in zip(self.each, contents, strict=True))

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """The same of means."""
        return self.step_seconds(decoding, prefill_tokens, resident_tokens, prefill_share)


CHAT = tuple(islice(Lognormal(300, 0.8, 200, 0.7, longest_tokens=4000).shapes(Random(3)), 300))
DOCUMENTS = tuple(islice(Lognormal(3000, 0.5, 100, 0.6, longest_tokens=9000).shapes(Random(3)), 300))
ENGINES = {
    "seats": (CHAT, SchedulerSettings.from_capacity(200_000, max_num_seqs=16, max_num_batched_tokens=2048)),
    "memory": (CHAT, SchedulerSettings.from_capacity(12_000, max_num_seqs=256, max_num_batched_tokens=2048)),
    "budget": (DOCUMENTS, SchedulerSettings.from_capacity(400_000, max_num_seqs=64, max_num_batched_tokens=1024)),
}


def one_seat(output_tokens: int) -> CoarseEngine:
    """An engine that serves one request after another, each as long."""
    settings = SchedulerSettings.from_capacity(100_000, max_num_seqs=1, max_num_batched_tokens=8192)
    pool = [RequestShape(1, output_tokens)]
    return CoarseEngine(pool, settings, Law(), saturate(pool, settings, Law(), steps=2000))


def test_one_seat_serves_one_after_another() -> None:
    """Three that come a second apart and take four, and one after a pause, by hand."""
    waits = one_seat(200).waits([0.0, 1.0, 2.0, 60.0], [0] * 4)
    served = 200 * STEP_SECONDS
    # a prompt takes a part of the budget's step here, and all of one in truth
    assert waits == pytest.approx([0.0, served - 1.0, 2 * served - 2.0, 0.0], abs=3 * STEP_SECONDS)


def test_one_seat_and_constant_service_is_the_queue_m_d_1() -> None:
    """Its mean wait at ρ is ρ/(2(1−ρ)) of the service time (Pollaczek and Khinchine)."""
    engine, service = one_seat(200), 200 * STEP_SECONDS
    source = np.random.default_rng(2)
    for load in (0.5, 0.8):
        at = np.cumsum(source.exponential(service / load, 60_000)).tolist()
        mean = float(engine.waits(at, [0] * len(at)).mean())
        assert mean == pytest.approx(load / (2 * (1 - load)) * service, rel=0.05)


@pytest.mark.parametrize("limit", ENGINES)
def test_waits_go_along_with_those_of_the_engine_step_by_step(limit: str) -> None:
    """Whichever limit binds, request by request, where a tenth and more of them wait.

    The coarse one is off by what an arrival waits for the end of a step, and by a tenth of long queues.
    """
    pool, settings = ENGINES[limit]
    law = Law(2e-4, 2e-4, 1e-7)
    full = saturate(pool, settings, law, steps=20_000)
    coarse = CoarseEngine(pool, settings, law, full)
    seen = open_loop(pool, settings, law, 0.9 * full.throughput_rps, requests=3000, seed=5, coarse=coarse)
    assert np.corrcoef(seen.coarse_seconds, seen.wait_seconds)[0, 1] > 0.97
    step = 3 * full.mean_step_seconds
    assert np.quantile(seen.coarse_seconds, 0.95) == pytest.approx(seen.wait(0.95), rel=0.1, abs=step)
    assert seen.wait(0.95) > 10 * step


@pytest.mark.parametrize(("load", "services"), [(0.8, 6.62), (0.9, 14.13)])
def test_the_long_run_is_as_long_as_its_quantile_needs(load: float, services: float) -> None:
    """Its 95th percentile is that of the queue M/D/1 (Crommelin's formula), within twice the error it is run to."""
    service = 200 * STEP_SECONDS
    waits = long_run(one_seat(200), load / service, load, 1.0)
    assert float(np.quantile(waits, 0.95)) == pytest.approx(services * service, rel=0.14)


def test_bursts_make_the_long_run_wait() -> None:
    """Arrivals with a coefficient of variation of 2 wait longer than Poisson's, regular ones less."""
    engine, rate = one_seat(200), 0.7 / (200 * STEP_SECONDS)
    regular, chance, bursts = (float(long_run(engine, rate, 0.7, cv).mean()) for cv in (0.3, 1.0, 2.0))
    assert regular < 0.5 * chance < 0.5 * bursts / 1.8


def test_what_a_run_adds_to_the_coarse_wait_is_added_in_the_long_run() -> None:
    """A run that has seen few long queues: what its requests had beyond the coarse wait counts, not how many waited."""
    source = np.random.default_rng(6)
    coarse = source.exponential(1.0, 2000)
    seen = coarse + 0.5
    waits = source.exponential(3.0, 20_000)
    assert as_in_the_long_run(waits, coarse, seen) == pytest.approx(waits + 0.5)


def test_a_request_that_waits_as_long_as_many_gets_an_addition_of_theirs() -> None:
    """Of a thousand that did not wait in the coarse engine half waited a second: so do half in the long run."""
    coarse, seen = np.zeros(1000), np.repeat([0.0, 1.0], 500)
    found = as_in_the_long_run(np.zeros(20_000), coarse, seen)
    assert float(found.mean()) == pytest.approx(0.5, abs=0.02)
