"""Hits of the prefix cache against how full memory is."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.cache_hits import CacheHits
from kvwatch.facts import EngineKey, EngineSample


def _watch(hit_ratio_at: dict[float, float], seconds: int = 300) -> CacheHits:
    """Five prompts of 1,000 tokens a second, each found whole or not at all, at one KV usage after the other."""
    source, hits, at = random.Random(4), CacheHits(), 0.0
    for usage, ratio in hit_ratio_at.items():
        for _ in range(seconds):
            missed = sum(source.random() >= ratio for _ in range(5))
            hits.update(
                Interval(
                    start=at,
                    end=at + 1,
                    sample=EngineSample(EngineKey("m", "0")),
                    prompt_tokens=5000.0,
                    prompt_tokens_computed=1000.0 * missed,
                    preemptions=0.0,
                    first_tokens=5.0,
                    kv_usage_ratio=(usage, usage),
                )
            )
            at += 1
    return hits


def test_hits_that_fall_as_memory_fills_are_told() -> None:
    """From nine in ten to a half: μ may be off by as much as twice the misses make it."""
    fall = _watch({0.3: 0.9, 0.6: 0.88, 0.9: 0.5}).get(0.0)
    assert fall is not None
    assert fall.before == pytest.approx(0.9, abs=0.03)
    assert fall.now == pytest.approx(0.5, abs=0.06)
    assert fall.deviation == pytest.approx(0.29, abs=0.06)


def test_hits_that_stay_are_no_fall() -> None:
    """Chance alone moves a share of hits by some hundredths."""
    assert all(_watch({0.3: 0.6, 0.6: 0.6, 0.9: 0.6}).get(0.0) is None for _ in range(3))


def test_hits_that_rise_with_load_are_no_fall() -> None:
    """More conversations at once that share a prompt."""
    assert _watch({0.3: 0.4, 0.9: 0.8}).get(0.0) is None


def test_a_new_process_has_an_empty_cache() -> None:
    """What the old one found says nothing."""
    hits = _watch({0.3: 0.9, 0.9: 0.5})
    hits.begin_anew(Cause.RESTART)
    assert hits.get(0.0) is None


def _seen(levels: dict[float, tuple[int, float]]) -> CacheHits:
    """At each KV usage so many prompts, of whose tokens a share was found; all in so short a time that none fades."""
    hits, at = CacheHits(), 0.0
    for usage, (prompts, ratio) in levels.items():
        hits.update(
            Interval(
                start=at,
                end=at + 1e-6,
                sample=EngineSample(EngineKey("m", "0")),
                prompt_tokens=1000.0 * prompts,
                prompt_tokens_computed=1000.0 * prompts * (1 - ratio),
                preemptions=0.0,
                first_tokens=float(prompts),
                kv_usage_ratio=(usage, usage),
            )
        )
        at += 1e-6
    return hits


@pytest.mark.parametrize(("before", "now"), [(51, 1000), (1000, 51)])
def test_fifty_prompts_at_a_level_count_and_fewer_say_nothing(before: int, now: int) -> None:
    """At either level."""
    assert _seen({0.3: (before, 0.95), 0.9: (now, 0.3)}).get(0.0) is not None
    fewer = {51: 49, 1000: 1000}
    assert _seen({0.3: (fewer[before], 0.95), 0.9: (fewer[now], 0.3)}).get(0.0) is None


@pytest.mark.parametrize(("now", "falls"), [(0.43, False), (0.42, True)])
@pytest.mark.parametrize("prompts", [(200, 200), (124, 500), (500, 124)])
def test_a_fall_is_told_from_three_and_a_half_standard_errors_on(
    now: float, falls: bool, prompts: tuple[int, int]
) -> None:
    """Each prompt is found or not: the variance of a share p of n is p(1 − p)/n, and that of a difference their sum.

    From 0.6 down to 0.43 are 3.45 standard errors, down to 0.42 are 3.66, also where one level has been seen less.
    """
    deviation = (0.6 * 0.4 / prompts[0] + now * (1 - now) / prompts[1]) ** 0.5
    assert ((0.6 - now) / deviation > 3.5) is falls
    assert (_seen({0.3: (prompts[0], 0.6), 0.9: (prompts[1], now)}).get(0.0) is not None) is falls


@pytest.mark.parametrize(("now", "falls"), [(0.551, False), (0.549, True)])
def test_a_fall_of_less_than_a_twentieth_is_not_worth_a_word(now: float, falls: bool) -> None:
    """However sure it is."""
    assert (_seen({0.3: (10**6, 0.6), 0.9: (10**6, now)}).get(0.0) is not None) is falls


def test_what_was_evicted_and_finds_its_own_prompt_again_is_no_hit() -> None:
    """An interval with preemptions counts nothing."""
    hits = _seen({0.3: (1000, 0.9)})
    hits.update(
        Interval(
            start=1.0,
            end=1.001,
            sample=EngineSample(EngineKey("m", "0")),
            prompt_tokens=1e6,
            prompt_tokens_computed=1e6,
            preemptions=1.0,
            first_tokens=1000.0,
            kv_usage_ratio=(0.9, 0.9),
        )
    )
    assert hits.get(0.0) is None


def test_hits_are_forgotten_over_half_an_hour() -> None:
    """A thousand prompts count for forty after 29 minutes in which nothing was asked: fewer than fifty."""
    hits = _seen({0.3: (1000, 0.9), 0.9: (1000, 0.3)})
    assert hits.get(0.0) is not None
    idle = Interval(start=1.0, end=1.0 + 29 * 60, sample=EngineSample(EngineKey("m", "0")), kv_usage_ratio=(0.0, 0.0))
    hits.update(idle)
    assert hits.get(0.0) is None
