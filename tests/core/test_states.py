"""StateSets."""

from __future__ import annotations

from kvwatch.core.states import one_of


def test_what_is_has_one_and_each_other_zero() -> None:
    """And where nothing is known there is no series: 0 for all would say that none of them is."""
    assert one_of(("kv", "seqs"), "seqs") == {"kv": 0.0, "seqs": 1.0}
    assert one_of(("kv", "seqs"), None) == {}
