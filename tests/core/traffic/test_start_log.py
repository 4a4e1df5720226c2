"""λ where the server's log of starts, or a log of requests that were given up, shows what the metrics do not."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor

import pytest

from kvwatch.core.traffic.arrival_rate import Arrivals
from kvwatch.core.traffic.start_log import StartLog
from kvwatch.estimate import Reason
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


@pytest.mark.parametrize("back", [61.0, 59.0])
def test_a_trend_by_the_log_needs_one_that_reaches_back_to_the_beginning_of_the_window(back: float) -> None:
    """Twenty parts of 3 s with 1, 2 … 20 starts: their rate rises by a third each 3 s. No metric knows of them."""
    now, arrivals = START + 1000.0, Arrivals({"1m": 60.0})
    arrivals.observe_start(RequestStarted(now - back), now)
    for part in range(20):
        for _ in range(part if part == 0 and back < 60 else part + 1):
            arrivals.observe_start(RequestStarted(now - 60 + 3 * part + 1.5), now)
    trend = arrivals.trend(now)
    if back < 60:
        assert trend is None
    else:
        assert trend is not None
        assert trend.slope == pytest.approx(1 / 9)
        assert trend.lower == pytest.approx(1 / 9)


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


class Balanced:
    """A balance of the metrics: so many a second before, within and after what is logged; it notes what it is asked."""

    def __init__(self, before: float = 2.0, within: float = 2.0, after: float = 2.0, reaches: float = 0.0) -> None:
        self.rates = (before, within, after)
        self.reaches = reaches
        self.asked: list[tuple[float, float, bool]] = []

    def __call__(self, start: float, end: float, makes_do: bool) -> float | None:
        """Arrivals between two times."""
        self.asked.append((start, end, makes_do))
        if start < self.reaches and not makes_do:
            return None
        middle = (start + end) / 2
        return (end - start) * self.rates[0 if middle < FIRST else 1 if middle < NEWEST else 2]


FIRST, NEWEST = 10.0, 300.0
"""From when on and until when lines are logged, two a second [s]."""


def log() -> StartLog:
    """A log of starts over the last five minutes, stamped to a part of a second."""
    found = StartLog(600.0)
    for half in range(580):
        found.add(FIRST + half / 2, 0.0)
    found.add(NEWEST - 1e-6, 0.0)
    return found


@pytest.mark.parametrize(
    ("start", "end", "balance", "count"),
    [
        (150.0, 250.0, Balanced(), 200.0),
        (0.0, 210.0, Balanced(before=5.0), 50.0 + 400.0),
        (0.0, 210.0, Balanced(before=-5.0), 400.0),
        (200.0, 305.0, Balanced(after=4.0), 201.0 + 20.0),
        (200.0, 305.0, Balanced(after=-4.0), 201.0),
        (200.0, 500.0, Balanced(after=0.0), 201.0),
        (302.0, 305.0, Balanced(after=4.0), 12.0),
        (0.0, 305.0, Balanced(before=5.0, after=4.0), 50.0 + 581.0 + 20.0),
    ],
    ids=["within", "from before", "balanced below 0", "to after", "below 0", "a quiet end", "only after", "all three"],
)
def test_each_time_is_counted_once_by_what_knows_of_it(
    start: float, end: float, balance: Balanced, count: float
) -> None:
    """The balance before the first line, the log from there to its newest, and the balance again."""
    found = log().arrivals(start, end, balance)
    assert found is not None
    assert (found.count, found.verdict) == (pytest.approx(count, abs=1e-3), Reason.OK)


def test_only_after_the_log_the_balance_is_to_make_do_with_what_there_is() -> None:
    """A window that the balance does not reach back to is not half counted; what lags is better counted in part."""
    balance = Balanced(reaches=5.0)
    assert log().arrivals(0.0, 210.0, balance) is None
    assert balance.asked == [(0.0, FIRST, False)]
    late = Balanced(reaches=1000.0)
    found = log().arrivals(200.0, 305.0, late)
    assert found is not None
    assert found.count == pytest.approx(201.0 + 10.0, abs=1e-3)
    assert [makes_do for _, _, makes_do in late.asked] == [True, False]


@pytest.mark.parametrize(("end", "after", "stopped"), [(309.9, 4.0, False), (310.1, 4.0, True), (310.1, 0.8, False)])
def test_a_log_has_stopped_where_more_arrived_for_ten_seconds_than_chance_has(
    end: float, after: float, stopped: bool
) -> None:
    """40 are more than three deviations; 8 are not."""
    found = log().arrivals(200.0, end, Balanced(after=after))
    assert found is not None
    assert (found.verdict is Reason.START_LOG_STOPPED) is stopped
    assert (found.count is None) is stopped


@pytest.mark.parametrize(("within", "incomplete"), [(2.4, False), (2.5, True), (1.0, False)])
def test_a_log_misses_lines_where_the_balance_has_more_by_three_deviations(within: float, incomplete: bool) -> None:
    """200 lines against 240, which may be 46 off, and 250, which may be 47 off; fewer contradict nothing."""
    found = log().arrivals(150.0, 250.0, Balanced(within=within))
    assert found is not None
    assert (found.verdict is Reason.START_LOG_INCOMPLETE) is incomplete
    assert (found.count is None) is incomplete


def test_a_log_says_nothing_of_the_time_before_its_first_line() -> None:
    """Nor where there is none."""
    assert StartLog(600.0).arrivals(0.0, 50.0, Balanced()) is None
    assert log().arrivals(0.0, FIRST, Balanced()) is None


def test_stamps_of_whole_seconds_stand_for_the_second_that_follows() -> None:
    """A line a second: to the end of the newest one's there is nothing left to balance."""
    whole = StartLog(600.0)
    for second in range(10, 101):
        whole.add(float(second), 0.0)
    balance = Balanced(within=1.0)
    found = whole.arrivals(50.0, 101.0, balance)
    assert found is not None
    assert found.count == pytest.approx(51.0)
    assert balance.asked == [(50.0, 101.0, False)]
