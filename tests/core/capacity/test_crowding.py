"""Fewer seats are said to serve more only where the full engine was seen, and memory had room."""

from __future__ import annotations

from kvwatch.core.capacity.crowding import crowding
from kvwatch.facts import Settings
from kvwatch.stats.level_rates import Level

_KV_TOKENS = 1e6


def _levels(largest: float, held_each: float = 1000.0) -> list[Level]:
    """128 sequences at 5,000 tokens/s, and the largest number at 4,000."""
    return [Level(n, 2 * n, held_each * n, n / rate, 0.03, 100.0) for n, rate in ((128.0, 5000.0), (largest, 4000.0))]


def test_seats_that_are_taken_and_serve_less_are_too_many() -> None:
    """500 of 512 decode, and half of the memory is free."""
    found = crowding(_levels(500.0), Settings(max_num_seqs=512), _KV_TOKENS)
    assert found is not None
    assert found.best.sequences == 128


def test_an_engine_that_was_never_full_says_nothing_of_its_seats() -> None:
    """300 of 512: what follows may be anything; nor is anything said where the seats are not known."""
    assert crowding(_levels(300.0), Settings(max_num_seqs=512), _KV_TOKENS) is None
    assert crowding(_levels(500.0), Settings(), _KV_TOKENS) is None
    assert crowding(_levels(500.0), Settings(max_num_seqs=512), None) is None


def test_where_memory_is_full_it_is_evictions_that_cost() -> None:
    """Which the embedded engine knows, and searches a cap against."""
    assert crowding(_levels(500.0, held_each=1900.0), Settings(max_num_seqs=512), _KV_TOKENS) is None
