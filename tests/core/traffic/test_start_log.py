"""λ where the server's log of starts, or a log of requests that were given up, shows what the metrics do not."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor

import pytest

from kvwatch.facts import RequestAborted, RequestRecord, RequestStarted
from kvwatch.views import EngineView
from tests.core.synthetic import START, TARGET, SyntheticEngine, Watch, poisson

RATE = 12.0


class Logged:
    """An overloaded engine, eight seats, whose clients give up one by one while they wait; a log tells or does not."""

    def __init__(self, *, starts: bool = True, aborts: bool = False, records: bool = False, impatient: int = 2) -> None:
        self.engine = SyntheticEngine(poisson(RATE, 900, seed=3), seats=8)
        self.watch = Watch(self.engine)
        self.starts, self.aborts, self.records, self.impatient = starts, aborts, records, impatient
        self.lag = 0.0
        self.told = 0
        self.until = float("inf")

    def tell(self, starts: Iterable[RequestStarted]) -> None:
        """Hands on lines of the log."""
        for line in starts:
            self.watch.fleet.observe(TARGET, line)

    def run(self, seconds: float) -> EngineView:
        """Lets time go by; in every second some of those that wait give up."""
        for at in self.watch.seconds(seconds):
            asks = self.engine.asks
            while self.starts and self.told < len(asks) and asks[self.told].at <= min(at - self.lag, self.until):
                # vLLM's stamps are whole seconds
                self.tell([RequestStarted(float(floor(asks[self.told].at)))])
                self.told += 1
            leaving = min(self.impatient, len(self.engine.waiting))
            for ask in list(self.engine.waiting)[:leaving]:
                if self.aborts:
                    self.watch.fleet.observe(TARGET, RequestAborted(at))
                if self.records:
                    self.watch.fleet.observe(TARGET, RequestRecord(ask.at, at, ask.prompt, 0, completed=False))
            self.engine.abort(running=0, waiting=leaving)
        return self.watch.view()

    def truth(self, seconds: float) -> float:
        """Requests that came per second over the last ``seconds``."""
        return sum(self.watch.at - seconds < a.at <= self.watch.at for a in self.engine.asks) / seconds


def test_the_metrics_alone_miss_those_that_give_up_while_they_wait() -> None:
    """What the log is for: two a second leave no trace, and nothing says so."""
    logged = Logged(starts=False)
    view = logged.run(400)
    assert view.arrival_rate.value["5m"] < 0.9 * logged.truth(300)
    assert "start_log" not in view.arrival_selected


def test_with_a_log_of_starts_all_arrivals_count() -> None:
    """Within the second that stamps are cut to, over both windows, and the difference to the balance is told."""
    logged = Logged()
    view = logged.run(400)
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.01)
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.03)
    assert view.arrival_selected == {"start_log": 1.0}
    assert view.estimate_valid["arrival_rate"].valid
    assert view.arrival_residual_ratio["5m"] == pytest.approx(2 / (logged.truth(300) - 2), rel=0.1)


@pytest.mark.parametrize("kind", ["aborts", "records"])
def test_requests_that_a_log_shows_as_given_up_are_added_to_the_balance(kind: str) -> None:
    """Without a log of starts: they had arrived, and left the balance without a trace."""
    logged = Logged(starts=False, **{kind: True})
    view = logged.run(400)
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.02)
    assert view.arrival_selected == {"abandoned": 1.0}
    assert view.estimate_valid["arrival_rate_5m"].valid


def test_requests_that_were_refused_at_once_are_no_arrivals() -> None:
    """A gateway that turns half of them away keeps them from the engine: λ is that of the others."""
    logged = Logged(starts=False, impatient=0)
    for at in logged.watch.seconds(400):
        for n in range(12):
            refused = RequestRecord(at - 0.5 + n / 100, at - 0.3 + n / 100, 0, 0, completed=False)
            logged.watch.fleet.observe(TARGET, refused)
    view = logged.watch.view()
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.02)
    assert view.arrival_selected == {"balance": 1.0}


def test_nothing_counts_twice_where_both_logs_tell() -> None:
    """Starts, aborts and failed records together are still each request once."""
    logged = Logged(aborts=True, records=True)
    view = logged.run(400)
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.01)


def test_a_log_that_lags_by_seconds_loses_nothing_and_counts_nothing_twice() -> None:
    """What it is yet to tell is balanced from the metrics."""
    logged = Logged(impatient=0)
    logged.lag = 8.0
    view = logged.run(400)
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.03)
    assert view.arrival_selected == {"start_log": 1.0}


def test_a_log_that_stops_is_given_up_with_the_reason_and_taken_up_when_it_catches_up() -> None:
    """Meanwhile the balance stands in, as if there were no log."""
    logged = Logged(impatient=0)
    logged.run(300)
    logged.until = logged.watch.at
    view = logged.run(60)
    verdict = view.estimate_valid["arrival_rate_1m"]
    assert (verdict.valid, verdict.reason) == (False, "start_log_stopped")
    assert "stopped" in verdict.words
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.02)
    assert view.arrival_selected == {"balance": 1.0}
    logged.until = float("inf")
    view = logged.run(2)
    assert view.arrival_selected == {"start_log": 1.0}
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.03)


def test_a_log_that_was_switched_off_is_no_longer_expected() -> None:
    """After twice the longest window the balance is not excused any more."""
    logged = Logged(impatient=0)
    logged.run(100)
    logged.until = logged.watch.at
    view = logged.run(650)
    assert view.estimate_valid["arrival_rate"].valid
    assert view.arrival_selected == {"balance": 1.0}


def test_a_log_that_loses_lines_is_not_believed() -> None:
    """A third of the starts missing is more than chance: the balance knows better."""
    logged = Logged(impatient=0)
    asks = [ask for n, ask in enumerate(logged.engine.asks) if n % 3]
    logged.starts = False
    told = 0
    for at in logged.watch.seconds(400):
        while asks[told].at <= at:
            logged.tell([RequestStarted(asks[told].at)])
            told += 1
    view = logged.watch.view()
    assert view.estimate_valid["arrival_rate_5m"].reason == "start_log_incomplete"
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.02)


def test_a_log_that_was_connected_a_moment_ago_makes_no_trend() -> None:
    """Arrivals are as many as before; that none was logged before the log began is no rise."""
    logged = Logged(starts=False, impatient=0)
    logged.run(350)
    logged.starts = True
    logged.told = sum(ask.at <= logged.watch.at for ask in logged.engine.asks)
    slope = logged.run(200).arrival_rate_slope
    assert slope.value is not None
    assert slope.lower is not None
    assert slope.lower <= 0
    assert abs(slope.value) * 300 < 0.1 * RATE


def test_a_log_that_was_connected_a_moment_ago_counts_from_there() -> None:
    """Before its first line the balance counts, after it the log: the window is whole at once."""
    logged = Logged(starts=False, impatient=0)
    logged.run(350)
    logged.starts = True
    logged.told = sum(ask.at <= logged.watch.at for ask in logged.engine.asks)
    view = logged.run(30)
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.04)
    assert view.arrival_rate.value["5m"] == pytest.approx(logged.truth(300), rel=0.02)
    assert view.arrival_selected == {"start_log": 1.0}


def test_a_restart_of_the_server_does_not_hide_arrivals_that_a_log_has() -> None:
    """The balance has nothing to say about the minute around it; the log has."""
    logged = Logged(impatient=0)
    logged.run(200)
    logged.engine.restart()
    view = logged.run(20)
    assert view.arrival_rate.value["1m"] == pytest.approx(logged.truth(60), rel=0.06)


def test_starts_from_a_clock_hours_ahead_are_passed_over() -> None:
    """They would otherwise make the log look alive for hours."""
    logged = Logged(starts=False, impatient=0)
    logged.run(100)
    logged.tell([RequestStarted(logged.watch.at + 7200)])
    assert logged.run(1).arrival_selected == {"balance": 1.0}


def test_a_quiet_log_of_a_quiet_server_is_alive() -> None:
    """Nothing starts and nothing is balanced: λ is 0, with no complaint."""
    watch = Watch(SyntheticEngine(poisson(lambda s: 5.0 if s < 100 else 0.0, 400)))
    told = 0
    for at in watch.seconds(399):
        while told < len(watch.engine.asks) and watch.engine.asks[told].at <= at:
            watch.fleet.observe(TARGET, RequestStarted(watch.engine.asks[told].at))
            told += 1
    view = watch.view()
    assert view.arrival_rate.value["1m"] == 0
    assert view.estimate_valid["arrival_rate_1m"].valid
    assert watch.at > START
