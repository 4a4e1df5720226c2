"""Hits of the prefix cache against how full memory is."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.interval import Cause, Interval
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
