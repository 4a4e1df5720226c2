"""λ from what plain metrics show, against the arrivals that were made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.facts import EngineSample
from tests.core.synthetic import START, SyntheticEngine, Watch, poisson, without


def arrivals(engine: SyntheticEngine, at: float, seconds: float) -> float:
    """Requests per second that came in the window before ``at``."""
    return sum(at - seconds < a.at <= at for a in engine.asks) / seconds


@pytest.mark.parametrize(("rate", "seats"), [(0.5, None), (6.0, None), (40.0, None), (20.0, 8)])
def test_arrivals_balance_exactly_below_capacity_and_in_overload(rate: float, seats: int | None) -> None:
    """Requests that wait have arrived too: λ is right while the queue grows without end."""
    engine = SyntheticEngine(poisson(rate, 320), seats=seats)
    watch = Watch(engine)
    for at in watch.seconds(320):
        # λ over one window after every scrape; the longer one is looked at more seldom
        if at - START > 62 and int(at) % 11 == 0:
            assert watch.view().arrival_rate.value["1m"] == pytest.approx(arrivals(engine, at, 60), abs=1.01 / 60)
    view = watch.view()
    assert view.arrival_rate.value["5m"] == pytest.approx(arrivals(engine, watch.at, 300), abs=1.01 / 300)
    assert all(view.estimate_valid[f"arrival_rate_{w}"].valid for w in ("1m", "5m"))
    assert view.arrival_rate.lower["5m"] < rate < view.arrival_rate.upper["5m"]
    if seats is not None:
        assert view.queue_length is not None
        assert view.queue_length > 1000


def test_until_a_window_is_full_its_rate_is_absent() -> None:
    """Each window says so by itself."""
    watch = Watch(SyntheticEngine(poisson(5, 400)))
    view = watch.run(30)
    assert view.arrival_rate.value == {}
    assert {view.estimate_valid[f"arrival_rate_{w}"].reason for w in ("1m", "5m")} == {"warming_up"}
    view = watch.run(40)
    assert set(view.arrival_rate.value) == {"1m"}
    assert view.estimate_valid["arrival_rate_5m"].reason == "warming_up"
    assert view.estimate_valid["arrival_rate"].reason == "warming_up"
    assert set(watch.run(240).arrival_rate.value) == {"1m", "5m"}


def test_a_mass_abort_hides_the_rate_until_it_has_left_the_window() -> None:
    """Requests vanish without a trace in any counter: absent with reason "aborts", and right again afterwards."""
    engine = SyntheticEngine(poisson(20, 700), seats=8)
    watch = Watch(engine)
    assert set(watch.run(310).arrival_rate.value) == {"1m", "5m"}
    engine.abort()
    view = watch.run(1)
    assert view.arrival_rate.value == {}
    assert view.utilization.value == {}
    assert {view.estimate_valid[f"arrival_rate_{w}"].reason for w in ("1m", "5m")} == {"aborts"}
    watch.run(58)
    assert watch.view().arrival_rate.value == {}
    view = watch.run(4)
    assert view.arrival_rate.value["1m"] == pytest.approx(arrivals(engine, watch.at, 60), abs=1.01 / 60)
    assert view.estimate_valid["arrival_rate_5m"].reason == "aborts"
    view = watch.run(240)
    assert view.arrival_rate.value["5m"] == pytest.approx(arrivals(engine, watch.at, 300), abs=1.01 / 300)


def test_a_torn_scrape_of_a_large_finish_is_not_taken_for_an_abort() -> None:
    """Forty requests leave the gauges one scrape before they reach the counters; the next scrape gives them back."""
    together = poisson(5, 300)
    batch = [replace(together[0], at=START + 100.0, prompt=50, output=100) for _ in range(40)]
    engine = SyntheticEngine(sorted([*together, *batch], key=lambda a: a.at))
    counters_of: EngineSample | None = None

    def torn(sample: EngineSample) -> EngineSample:
        nonlocal counters_of
        late, counters_of = counters_of, sample
        if late is not None and sample.finished is not None and late.finished is not None:  # noqa: SIM102
            if sample.finished - late.finished >= 40:
                return replace(late, running=sample.running, waiting=sample.waiting)
        return sample

    watch = Watch(engine, show=torn)
    watch.run(61)
    suspected = [at for at in watch.seconds(70) if "1m" not in watch.view().arrival_rate.value]
    assert len(suspected) == 1, "the torn scrape itself is suspect, the next one clears it"
    view = watch.view()
    assert view.arrival_rate.value["1m"] == pytest.approx(arrivals(engine, watch.at, 60), abs=1.01 / 60)
    assert view.estimate_valid["arrival_rate_1m"].valid


def test_client_aborts_that_had_a_first_token_are_counted_and_called_biased() -> None:
    """One request in five is dropped while it runs: flow balance misses it, first tokens do not."""
    engine = SyntheticEngine(poisson(5, 200))
    watch = Watch(engine)
    for _ in watch.seconds(200):
        engine.abort(running=1, waiting=0)
    view = watch.view()
    assert view.estimate_valid["arrival_rate_1m"].reason == "abort_biased"
    assert view.arrival_rate.value["1m"] == pytest.approx(arrivals(engine, watch.at, 60), rel=0.05)


@pytest.mark.parametrize("with_created", [True, False])
def test_after_a_restart_the_rate_is_absent_until_the_window_is_full(with_created: bool) -> None:
    """Counters start anew, with or without a change of ``_created``."""
    engine = SyntheticEngine(poisson(5, 500))
    watch = Watch(engine, show=lambda s: s if with_created else replace(s, created_at=None))
    watch.run(310)
    engine.restart()
    view = watch.run(1)
    assert view.arrival_rate.value == {}
    assert {view.estimate_valid[f"arrival_rate_{w}"].reason for w in ("1m", "5m")} == {"restart"}
    view = watch.run(58)
    assert view.arrival_rate.value == {}
    view = watch.run(5)
    assert view.arrival_rate.value["1m"] == pytest.approx(arrivals(engine, watch.at, 60), abs=1.01 / 60)
    assert view.estimate_valid["arrival_rate_5m"].reason == "restart"


def test_a_reset_that_only_created_shows_is_noticed() -> None:
    """A server that counted further than the last one before the next scrape is still another server."""
    engine = SyntheticEngine(poisson(5, 300))
    watch = Watch(engine)
    watch.run(100)
    engine.created += 50
    assert watch.run(1).estimate_valid["arrival_rate_1m"].reason == "restart"


def test_an_engine_that_sleeps_says_so_until_its_windows_have_passed() -> None:
    """Gauges of a sleeping engine are frozen."""
    asleep = [False]
    watch = Watch(SyntheticEngine(poisson(5, 300)), show=lambda s: replace(s, asleep=True) if asleep[0] else s)
    assert "1m" in watch.run(70).arrival_rate.value
    asleep[0] = True
    view = watch.run(1)
    assert view.arrival_rate.value == {}
    assert view.estimate_valid["arrival_rate_1m"].reason == "asleep"
    asleep[0] = False
    assert watch.run(59).arrival_rate.value == {}
    assert "1m" in watch.run(3).arrival_rate.value


def test_an_idle_engine_has_no_arrivals_and_no_utilization_while_its_rate_is_unknown() -> None:
    """So that an idle server can be scaled down, before it ever served a request."""
    view = Watch(SyntheticEngine([])).run(310)
    assert view.service_rate.value is None
    assert view.arrival_rate.value == {"1m": 0.0, "5m": 0.0}
    assert view.utilization.value == {"1m": 0.0, "5m": 0.0}
    assert view.estimate_valid["utilization"].valid
    assert not view.estimate_valid["service_rate"].valid
    assert view.step_seconds.value == {}


@pytest.mark.parametrize("missing", ["finished", "running", "waiting"])
def test_without_the_metrics_of_the_balance_there_is_no_rate(missing: str) -> None:
    """Unknown is absent, with the reason."""
    view = Watch(SyntheticEngine(poisson(5, 100)), show=without(**{missing: None})).run(70)
    assert view.arrival_rate.value == {}
    assert view.utilization.value == {}
    assert view.estimate_valid["arrival_rate_1m"].reason == "metric_missing"


@pytest.mark.long
def test_the_interval_holds_the_true_rate_nine_times_in_ten() -> None:
    """Over 60 separate minutes of Poisson arrivals, within 4 standard errors of 90% from below."""
    watch = Watch(SyntheticEngine(poisson(4, 3700, lengths=lambda _: (50, 20))))
    watch.run(100)
    inside = 0
    for _ in range(60):
        view = watch.run(60)
        inside += view.arrival_rate.lower["1m"] <= 4 <= view.arrival_rate.upper["1m"]
    assert inside / 60 >= 0.9 - 4 * (0.9 * 0.1 / 60) ** 0.5


def test_bursty_arrivals_widen_the_interval() -> None:
    """Batches of ten arrive as often as single requests: the same rate is known far less surely."""
    single = Watch(SyntheticEngine(poisson(5, 330))).run(320)
    batches = [a for a in poisson(0.5, 330) for _ in range(10)]
    bursty = Watch(SyntheticEngine(batches)).run(320)

    def width(view: object) -> float:
        return (view.arrival_rate.upper["5m"] - view.arrival_rate.lower["5m"]) / view.arrival_rate.value["5m"]  # type: ignore[attr-defined]

    assert width(bursty) > 1.8 * width(single)


def test_where_nothing_arrives_the_rate_behind_it_may_still_be_that_of_a_few() -> None:
    """No request in a minute: a Poisson rate of up to Z²/60 shows none so often (Wilson)."""
    view = Watch(SyntheticEngine([])).run(62)
    assert view.arrival_rate.value == {"1m": 0.0}
    assert view.arrival_rate.lower == {"1m": 0.0}
    assert view.arrival_rate.upper["1m"] == pytest.approx(1.6449**2 / 60, rel=1e-3)
