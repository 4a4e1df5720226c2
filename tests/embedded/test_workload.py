"""Streams of requests come at the rates and with the lengths they were asked for."""

from __future__ import annotations

import math
import random
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.embedded.workload import Lognormal, Pool, Segment, Uniform, arrivals, fixed

rates = st.floats(0.01, 50)


@given(st.floats(1, 1000), rates, rates, st.floats(0, 1))
def test_a_ramp_is_inverted_exactly(seconds: float, start: float, end: float, share: float) -> None:
    """The expected number of arrivals up to the time given for a number is that number."""
    segment = Segment(seconds, start, end)
    at = segment.time_of(share * segment.expected_requests)
    rate_then = start + (end - start) * at / seconds
    assert 0 <= at <= seconds * (1 + 1e-9)
    assert (start + rate_then) / 2 * at == pytest.approx(share * segment.expected_requests, rel=1e-6, abs=1e-9)


def test_arrivals_follow_the_segments() -> None:
    """Counts per segment are Poisson around the expected ones; silence brings nobody."""
    segments = [Segment(100, 10, 10), Segment(50, 0, 0), Segment(100, 10, 30)]
    times = [arrival.at for arrival in arrivals(segments, fixed(1, 1), seed=2, start=1000.0)]
    assert times == sorted(times)
    counts = [
        sum(1000 <= at < 1100 for at in times),
        sum(1100 <= at < 1150 for at in times),
        sum(1150 <= at < 1250 for at in times),
    ]
    assert counts[0] == pytest.approx(1000, abs=5 * math.sqrt(1000))
    assert counts[1] == 0
    assert counts[2] == pytest.approx(2000, abs=5 * math.sqrt(2000))


@pytest.mark.parametrize("burstiness", [0.5, 1.0, 2.5])
def test_burstiness_is_the_coefficient_of_variation(burstiness: float) -> None:
    """Gaps have the mean of the rate and the asked-for spread."""
    stream = arrivals([Segment(4000, 5, 5)], fixed(1, 1), seed=3, burstiness=burstiness)
    gaps = [later.at - earlier.at for earlier, later in pairwise(stream)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.2, rel=0.05 * max(burstiness, 1))
    assert spread / mean == pytest.approx(burstiness, rel=0.08)


def test_clients_leave_when_they_lose_patience_or_the_phase_ends() -> None:
    """Patience is exponential; the end of a phase sends all away."""
    impatient = list(arrivals([Segment(500, 10, 10)], fixed(1, 1), seed=4, patience_seconds=8.0))
    waits = [arrival.abort_at - arrival.at for arrival in impatient if arrival.abort_at is not None]
    assert len(waits) == len(impatient)
    assert sum(waits) / len(waits) == pytest.approx(8.0, rel=0.1)
    sent_away = arrivals([Segment(50, 10, 10, abort_at_end=True), Segment(5, 10, 10)], fixed(1, 1), seed=4)
    assert {(arrival.at < 50, arrival.abort_at) for arrival in sent_away} == {(True, 50.0), (False, None)}


def test_lengths_have_the_asked_for_shape() -> None:
    """Medians, correlation, shared prefixes and caps of the lognormal; ranges of the uniform; rounds of the pool."""
    source = random.Random(6)
    drawn = list(islice(Lognormal(200, 0.6, 100, 0.5, 0.7, 64, 3, 1500).shapes(source), 8000))
    prompts = sorted(shape.prompt_tokens - 64 for shape in drawn)
    outputs = sorted(shape.output_tokens for shape in drawn)
    assert prompts[4000] == pytest.approx(200, rel=0.05)
    assert outputs[4000] == pytest.approx(100, rel=0.05)
    assert max(prompts) <= 1500
    assert {shape.prefix_id for shape in drawn} == {0, 1, 2}
    x = [math.log(shape.prompt_tokens - 64) for shape in drawn]
    y = [math.log(shape.output_tokens) for shape in drawn]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    norm = math.sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))
    assert covariance / norm == pytest.approx(0.7, abs=0.03)
    even = list(islice(Uniform((3, 5), (7, 7)).shapes(source), 300))
    assert {shape.prompt_tokens for shape in even} == {3, 4, 5}
    pool = Pool(tuple(drawn[:10]))
    rounds = list(islice(pool.shapes(source), 30))
    assert all(sorted(map(repr, rounds[i : i + 10])) == sorted(map(repr, pool.members)) for i in (0, 10, 20))


def test_one_seed_gives_one_stream() -> None:
    """The same seed repeats the stream; another gives another."""

    def first(seed: int) -> list[object]:
        lengths = Lognormal(100, 1, 100, 1)
        return list(islice(arrivals([Segment(100, 3, 3)], lengths, seed=seed, patience_seconds=5), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs_and_loads_the_engine_as_it_says(name: str) -> None:
    """A scenario's name is its key, its engine serves, and its first stage's arrivals come at the stated load."""
    scenario = SCENARIOS[name]
    assert scenario.name == name
    capacity = scenario.capacity(seed=1)
    assert capacity.throughput_rps > 0
    stage = scenario.stages[0]
    seconds = min(stage.seconds, 60.0)
    reached = stage.start_load + (stage.end_load - stage.start_load) * seconds / stage.seconds
    expected = seconds * capacity.throughput_rps * (stage.start_load + reached) / 2
    engine = scenario.engine(seed=1, start=50.0)
    engine.advance(50.0 + seconds)
    arrived = len(engine.take_ended()) + len(engine.scheduler.running) + len(engine.scheduler.waiting)
    assert arrived == pytest.approx(expected, abs=5 * scenario.burstiness * math.sqrt(expected) + 2)
    assert engine.counters.finished > 0


def test_a_sped_up_scenario_is_the_same_on_a_faster_clock() -> None:
    """Ten times the speed: ten times the service rate, at the same batch."""
    slow = SCENARIOS["chat"]
    fast = slow.sped_up(10)
    assert fast.capacity().throughput_rps == pytest.approx(10 * slow.capacity().throughput_rps)
    assert fast.capacity().mean_running == slow.capacity().mean_running
