"""The mix of lengths: of a log where it has them all, else made of the metrics; and none of a few requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.traffic.population import Population
from kvwatch.facts import EngineKey, EngineSample, Histogram, RequestRecord, Settings

EDGES = (100.0, 200.0, 500.0, float("inf"))
UNTIL = 300
"""Seconds that the traffic was watched."""


def histogram(requests: float, tokens: float) -> Histogram:
    """All requests within the second bucket."""
    return Histogram(EDGES, (0.0, requests, requests, requests), tokens * requests, requests)


def interval(second: int, each: float = 2.0, unit: float = 1.0) -> Interval:
    """A second in which so many finished, of 160 prompt and 120 output tokens each."""
    total = each * second
    sample = EngineSample(
        EngineKey("m", "0"),
        request_prompt_tokens=histogram(total, 160.0),
        request_generation_tokens=histogram(total, 120.0),
    )
    return Interval(
        start=second - 1.0,
        end=float(second),
        sample=sample,
        settings=Settings(256, 2048, 4096),
        kv_capacity=KvCapacity(1e5, 16, exact=True),
        unit_tokens=unit,
        finished=each,
        steps=50.0,
        generation_tokens=120.0 * each,
        prompt_tokens=160.0 * each,
        prompt_tokens_computed=160.0 * each,
        first_tokens=each,
        lengths_count=each,
        lengths_prompt_tokens=160.0 * each,
        lengths_output_tokens=120.0 * each,
        running=(10.0, 10.0),
        waiting=(0.0, 0.0),
        kv_usage_ratio=(0.1, 0.1),
    )


def watched(*, logged: bool, unit: float = 1.0, each: float = 2.0) -> Population:
    """The traffic of five minutes; a log says that every other request had twice the lengths of the one before it."""
    population = Population(120.0, 300.0, 20)
    for second in range(1, UNTIL + 1):
        population.update(interval(second, each, unit))
        for part in range(2) if logged else ():
            s, o = (107, 80) if part else (213, 160)
            record = RequestRecord(second - 0.6 + part / 10, second - 0.5 + part / 10, s, o)
            population.update_request(Ended(record, 1.0, 16, 2048))
    return population


def test_with_a_log_the_mix_has_its_very_lengths() -> None:
    """And its E[g] beside those by the metrics."""
    mix = watched(logged=True).mix(float(UNTIL))
    assert mix is not None
    assert set(mix.prompt_tokens.tolist()) == {107.0, 213.0}
    assert set(mix.output_tokens.tolist()) == {80.0, 160.0}
    assert "joint" in mix.demand.by_method


def test_without_one_the_metrics_make_it() -> None:
    """The means are theirs."""
    mix = watched(logged=False).mix(float(UNTIL))
    assert mix is not None
    assert "joint" not in mix.demand.by_method
    assert mix.prompt_tokens.mean() == pytest.approx(160.0, rel=0.02)
    assert mix.output_tokens.mean() == pytest.approx(120.0, rel=0.02)


def test_under_speculation_a_log_is_no_source() -> None:
    """It tells tokens and not steps: two tokens a step make half as many units."""
    mix = watched(logged=True, unit=2.0).mix(float(UNTIL))
    assert mix is not None
    assert "joint" not in mix.demand.by_method
    assert mix.output_tokens.mean() == pytest.approx(60.0, rel=0.02)


def test_of_fewer_than_twenty_requests_there_is_no_mix() -> None:
    """Whatever they are like; nor before anything was seen."""
    assert Population(120.0, 300.0, 20).mix(0.0) is None
    few = Population(120.0, 300.0, 20)
    for second in range(1, 10):
        few.update(interval(second))
    assert few.mix(9.0) is None
    for second in range(10, 12):
        few.update(interval(second))
    assert few.mix(11.0) is not None


def test_the_longest_outputs_are_bounded_by_what_a_request_may_have() -> None:
    """In the unit that lengths are counted in, where the server says it."""
    for unit in (1.0, 2.0):
        population = watched(logged=False, unit=unit)
        last = interval(UNTIL, unit=unit)
        population.configure(replace(last, settings=Settings(256, 2048, 300)))
        mix = population.mix(float(UNTIL))
        assert mix is not None
        assert float((mix.prompt_tokens + mix.output_tokens).max()) <= 300 / unit + 1
