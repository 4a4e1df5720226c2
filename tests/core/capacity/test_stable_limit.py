"""1 − δ: by the limit that binds, what is known of the largest request, and of M."""

from __future__ import annotations

import pytest

from kvwatch.core.capacity.largest_request import Largest
from kvwatch.core.capacity.stable_limit import stable_limit
from kvwatch.core.interval import KvCapacity
from kvwatch.estimate import Reason

M = KvCapacity(10_000.0, 16, exact=True)
SEEN, BOUND = Largest(2000.0, is_bound=False), Largest(4000.0, is_bound=True)


@pytest.mark.parametrize("limit", ["seqs", "compute"])
def test_where_memory_does_not_bind_an_engine_is_stable_up_to_its_service_rate(limit: str) -> None:
    """Whatever its requests and its memory are."""
    for found in (stable_limit(limit, None, None, None), stable_limit(limit, SEEN, 4096, M)):
        assert (found.value, found.verdict) == (1.0, Reason.OK)


@pytest.mark.parametrize(
    ("largest", "longest", "capacity", "value", "verdict"),
    [
        (SEEN, None, M, 0.8, Reason.OK),
        (SEEN, 1000, M, 0.8, Reason.OK),  # a length that was seen is no bound
        (BOUND, None, M, 0.6, Reason.DELTA_IS_BOUND),
        (BOUND, 1000, M, 0.9, Reason.DELTA_IS_BOUND),
        (BOUND, 8000, M, 0.6, Reason.DELTA_IS_BOUND),
        (Largest(float("inf"), is_bound=True), 1000, M, 0.9, Reason.DELTA_IS_BOUND),
        (Largest(float("inf"), is_bound=True), None, M, None, Reason.DELTA_UNKNOWN),
        (None, 1000, M, None, Reason.DELTA_UNKNOWN),
        (SEEN, None, None, None, Reason.CAPACITY_UNKNOWN),
        (Largest(10_000.0, is_bound=False), None, M, 0.0, Reason.OK),
        (Largest(10_001.0, is_bound=False), None, M, None, Reason.CAPACITY_REFUTED),
        (Largest(10_001.0, is_bound=True), None, M, None, Reason.DELTA_IS_BOUND),
        (SEEN, None, KvCapacity(10_000.0, 16, exact=False), 0.8, Reason.HYBRID_KV),
        (SEEN, None, KvCapacity(10_000.0, 16, True, from_usage=True), 0.8, Reason.CAPACITY_FROM_USAGE),
    ],
)
def test_where_memory_binds_it_is_what_the_largest_request_leaves_of_it(
    largest: Largest | None, longest: int | None, capacity: KvCapacity | None, value: float | None, verdict: Reason
) -> None:
    """A bound is no larger than what the server admits; a request that is larger than M refutes one of the two."""
    found = stable_limit("kv", largest, longest, capacity)
    assert found.value == (None if value is None else pytest.approx(value))
    assert found.verdict is verdict


def test_while_nothing_is_known_to_bind_there_is_no_limit() -> None:
    """It depends on what will."""
    found = stable_limit(None, SEEN, 4096, M)
    assert (found.value, found.verdict) == (None, Reason.DEPENDS)
