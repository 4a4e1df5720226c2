"""A recorded overload: the number of replicas scrape by scrape, against the arithmetic of the load."""

from __future__ import annotations

from math import ceil

import pytest

from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.evaluation import EVALUATION_SECONDS
from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.views import EngineView, ModelView, TargetView
from tests.core.recordings import incident

OVERLOAD_BEGINS, LAST_ARRIVAL, RECORDING_ENDS = 300.0, 528.0, 839.0
"""Seconds of the recording: 2.6 requests/s instead of 0.9, and the end of that."""
FALLS_WITHIN_SECONDS = 600.0
Said = list[tuple[float, EngineView, ModelView]]
TARGET = CoreOptions().target_utilization


@pytest.fixture(scope="module")
def said() -> Said:
    """The engine and its model at each scrape, and then for a quarter of an hour without arrivals."""
    model, found = FleetModel(CoreOptions()), []
    last: TargetView | None = None
    for at, view in incident(1.0):
        if at > RECORDING_ENDS - 35:  # the last half minute is another burst
            break
        (seen,) = model.update(at, [view]) or (ModelView(""),)
        if view.engines:
            found.append((at, view.engines[0], seen))
            last = view
    assert last is not None
    for second in range(900):
        at = RECORDING_ENDS - 35 + second
        (seen,) = model.update(at, [last])
        found.append((at, last.engines[0], seen))
    return found


def arithmetic(engine: EngineView, window: str) -> int | None:
    """⌈λ/(μ·target)⌉."""
    rate, mu = engine.arrival_rate.value.get(window), engine.service_rate.value
    return None if rate is None or mu is None else ceil(rate / (mu * TARGET))


@pytest.mark.long
def test_the_number_is_the_arithmetic_of_the_load_of_ten_minutes(
    said: Said,
) -> None:
    """At every scrape from the first number on: one above ⌈λ/(μ·target)⌉ at most, one below it at most while it rises.

    λ is over one minute or five; while it falls, it is that of the last ten minutes.
    """
    highest: list[tuple[float, int]] = []
    checked = 0
    for at, engine, model in said:
        now = [n for window in ("1m", "5m") if (n := arithmetic(engine, window)) is not None]
        if not now:
            continue
        highest = [(t, n) for t, n in highest if at - t <= FALLS_WITHIN_SECONDS] + [(at, max(now))]
        if model.replicas_required is None:
            assert at < 60 + 60 + 2 * EVALUATION_SECONDS
            continue
        assert min(now) - 1 <= model.replicas_required <= max(n for _, n in highest) + 1, at
        checked += 1
    assert checked > 1500


def test_the_number_has_risen_within_two_minutes_of_the_overload(
    said: Said,
) -> None:
    """2.6 requests/s at 0.9 to 1.1 and a target of 0.8 need 3 to 4; before, it is 1 or 2, and never was more."""
    before = {m.replicas_required for at, _, m in said if at < OVERLOAD_BEGINS}
    assert before <= {None, 1.0, 2.0}
    full = [m.replicas_required or 0.0 for at, _, m in said if OVERLOAD_BEGINS + 120 <= at <= LAST_ARRIVAL]
    assert min(full) >= 3.0
    assert max(full) <= 5.0


def test_ten_minutes_after_the_last_arrival_and_the_end_of_the_queue_nothing_is_needed(
    said: Said,
) -> None:
    """The queue is empty at 750 s and the last answer written at 772 s; the number that holds is of no later load."""
    assert {m.replicas_required for at, _, m in said if at >= LAST_ARRIVAL + FALLS_WITHIN_SECONDS} == {0.0}


def test_the_number_says_what_makes_it_higher(said: Said) -> None:
    """A surge as the overload begins, what waits while it lasts, and afterwards the load of just now."""
    reasons = {
        reason: [at for at, _, m in said if m.replicas_added.get(reason)]
        for reason in ("surge", "trend", "recent_load")
    }
    assert any(OVERLOAD_BEGINS < at < OVERLOAD_BEGINS + 90 for at in reasons["surge"])
    assert max(reasons["recent_load"]) > LAST_ARRIVAL
    backlog = [(at, m.backlog_replicas or 0.0) for at, _, m in said]
    assert 0.3 < max(amount for _, amount in backlog) < 0.7  # 270 at 0.8 to 1.0/s in 600 s
    assert all(amount == 0.0 for at, amount in backlog if at > 775)
