"""λ of a pool of engines, asked for at any time after a sample."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.pool.arrivals import PoolArrivals, Serving

_WINDOWS = {"1m": 60.0, "5m": 300.0}


def test_it_does_not_matter_how_long_after_a_sample_it_is_asked_for() -> None:
    """An engine is as old as its last sample says; asking again, early or late, is no restart of it."""
    pool, source = PoolArrivals(_WINDOWS), random.Random(1)
    for scrape in range(80):
        at = 15.0 * scrape
        engine = Serving(("host", "0"), {"1m": 4.5, "5m": 4.5}, {}, 1000.0 + at)
        for delay in sorted(source.uniform(0.0, 15.0) for _ in range(3)):
            flow = pool.update(at + delay, [engine])
            assert flow is not None
            assert flow.rate == pytest.approx(4.5)


def test_a_silent_watcher_does_not_raise_it() -> None:
    """While no samples come the number stays, however often it is asked for."""
    pool = PoolArrivals(_WINDOWS)
    engine = Serving(("host", "0"), {"5m": 4.5}, {}, 1000.0)
    rates = [flow.rate for at in range(60) if (flow := pool.update(float(at), [engine])) is not None]
    assert rates == [4.5] * 60


def test_a_restart_keeps_what_the_engine_had_and_fades_it_out() -> None:
    """A server that starts anew has not lost its clients: its last rate counts on, less as the window moves on."""
    pool = PoolArrivals(_WINDOWS)
    assert pool.update(0.0, [Serving(("host", "0"), {"5m": 4.0}, {}, 1000.0)]) is not None
    young = pool.update(60.0, [Serving(("host", "0"), {"5m": 0.0}, {}, 30.0)])
    assert young is not None
    assert young.rate == pytest.approx(4.0 * (1 - 60 / 300))
    assert not young.settled
    later = pool.update(210.0, [Serving(("host", "0"), {"5m": 2.0}, {}, 180.0)])
    assert later is not None
    assert later.rate == pytest.approx(2.0 + 4.0 * (1 - 210 / 300))


def test_an_engine_that_was_out_of_sight_counts_once_when_it_is_back() -> None:
    """Half of ten engines are stale for 30 s and come back with the same counters: λ is what it was, at once."""
    pool = PoolArrivals(_WINDOWS)
    for at in range(0, 700, 5):
        seen = range(5 if 300 <= at < 330 else 10)
        engines = [Serving((f"pod-{n}", "0"), {"5m": 3.0}, {}, 1000.0 + at) for n in seen]
        flow = pool.update(float(at), engines)
        assert flow is not None
        expected = 30.0 if not 300 <= at < 330 else 15.0 + 15.0 * (1 - (at - 295) / 300)
        assert flow.rate == pytest.approx(expected)


def test_an_engine_that_started_anew_out_of_sight_is_a_young_one() -> None:
    """What it had before goes on fading when it is back, for its counters do not know of it, however old it is now."""
    pool = PoolArrivals(_WINDOWS)
    pool.update(0.0, [Serving(("pod", "0"), {"1m": 3.0}, {}, 90.0), Serving(("other", "0"), {"5m": 1.0}, {}, 900.0)])
    pool.update(5.0, [Serving(("other", "0"), {"5m": 1.0}, {}, 905.0)])
    back = [Serving(("pod", "0"), {"1m": 3.0}, {}, 120.0), Serving(("other", "0"), {"5m": 1.0}, {}, 1100.0)]
    flow = pool.update(200.0, back)
    assert flow is not None
    assert flow.rate == pytest.approx(1.0 + 3.0 * 120 / 300 + 3.0 * 90 / 300 * (1 - 200 / 300))


def test_an_engine_that_is_out_of_sight_again_and_again_counts_once() -> None:
    """The share of an engine that flaps is never there twice."""
    pool = PoolArrivals(_WINDOWS)
    rates = []
    for at in range(0, 1200, 5):
        names = ["steady"] if at % 40 == 20 else ["steady", "flaps"]
        flow = pool.update(float(at), [Serving((name, "0"), {"5m": 2.0}, {}, 1000.0 + at) for name in names])
        assert flow is not None
        rates.append(flow.rate)
    assert max(rates) == pytest.approx(4.0)
    assert min(rates) == pytest.approx(2.0 + 2.0 * (1 - 5 / 300))
