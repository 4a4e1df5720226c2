"""M from what a server's labels say, and the verdict on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.capacity.kv_capacity import believed, kv_capacity, kv_capacity_tokens
from kvwatch.core.capacity.kv_capacity_check import Belief
from kvwatch.core.interval import KvCapacity
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import CacheConfig


@pytest.mark.parametrize(
    ("cache", "engines", "found"),
    [
        (CacheConfig(32, 1001), 1, KvCapacity(32_000.0, 32, exact=True)),
        (CacheConfig(32, 2002), 2, KvCapacity(32_000.0, 32, exact=True)),
        (CacheConfig(32, 1001), 0, KvCapacity(32_000.0, 32, exact=True)),
        (CacheConfig(32, 5, kv_cache_size_tokens=32_032), 2, KvCapacity(32_000.0, 32, exact=True)),
        (CacheConfig(kv_cache_size_tokens=32_000), 1, KvCapacity(32_000.0, 16, exact=True)),
        (CacheConfig(32, 1), 1, None),
        (CacheConfig(32), 1, None),
        (CacheConfig(num_gpu_blocks=1001), 1, None),
        (CacheConfig(), 1, None),
    ],
)
def test_all_blocks_but_one_hold_tokens(cache: CacheConfig, engines: int, found: KvCapacity | None) -> None:
    """Blocks are the sum over the engines of a server; the size in tokens, where it is shown, one engine's."""
    assert kv_capacity(cache, engines) == found


def test_the_verdict_says_where_a_size_is_from() -> None:
    """None at all, one that was refuted, one by what runs, one of layers that differ, and one that is good."""
    known = KvCapacity(1000.0, 16, exact=True)
    assert kv_capacity_tokens(None) == Estimate(verdict=Reason.CAPACITY_UNKNOWN)
    assert kv_capacity_tokens(None, refuted=True) == Estimate(verdict=Reason.CAPACITY_REFUTED)
    assert kv_capacity_tokens(known) == Estimate(1000.0, verdict=Reason.OK)
    assert kv_capacity_tokens(KvCapacity(1000.0, 16, exact=False)).verdict is Reason.HYBRID_KV
    by_use = KvCapacity(1000.0, 16, exact=True, from_usage=True)
    assert kv_capacity_tokens(by_use).verdict is Reason.CAPACITY_FROM_USAGE


def test_what_was_found_of_a_size_counts_for_that_size_only() -> None:
    """With a size that cannot be, its block size goes; of another one nothing is known yet."""
    shown = KvCapacity(1000.0, 128, exact=True)
    by_use = KvCapacity(4000.0, 16, exact=False, from_usage=True)
    assert believed(shown, Belief(1000.0)) == shown
    either = replace(by_use, shown_tokens=1000.0)
    assert believed(shown, Belief(1000.0, 4000.0, refuted=True)) == either
    assert believed(shown, Belief(1000.0, 4000.0, refuted=True, impossible=True)) == by_use
    assert believed(shown, Belief(1000.0, None, refuted=True)) is None
    assert believed(shown, Belief(900.0, 4000.0, refuted=True)) == shown
    assert believed(None, Belief(None, 4000.0)) == by_use
    assert believed(None, Belief()) is None
