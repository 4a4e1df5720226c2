"""Arrivals by what finished and what is inside, and how those are counted that left without a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.flow_balance import Balanced, FlowBalance
from kvwatch.estimate import Reason
from tests.core.synthetic import START, SyntheticEngine

SAMPLE = SyntheticEngine([]).sample()


def scrape(
    second: int, finished: float, inside: float = 0.0, first_tokens: float | None = None, **of: object
) -> Interval:
    """A scrape that shows so many finished and inside (all running)."""
    sample = replace(SAMPLE, finished=finished, running=inside, waiting=0.0, first_token_count=first_tokens)
    found = Interval(start=START + second - 1, end=START + second, sample=sample)
    return replace(found, **of)  # type: ignore[arg-type]


def fed(seconds: int = 100, rate: float = 2.0, started: float | None = None, **of: object) -> FlowBalance:
    """Requests at a steady rate, each of which is inside for a second; ``started`` first tokens a second."""
    balance = FlowBalance(300.0)
    for second in range(seconds + 1):
        first = None if started is None else started * second
        balance.update(scrape(second, rate * second, 1.0, first, **(of if second == seconds else {})))
    return balance


def test_arrivals_are_what_finished_and_what_is_inside() -> None:
    """Also while the number inside grows; a gauge that is missing is passed over."""
    balance = fed()
    assert balance.rise(60.0) == pytest.approx(120)
    balance.update(scrape(101, 200.0, 31.0))
    assert balance.rise(60.0) == pytest.approx(118 + 30)
    unknown = scrape(102, 500.0)
    balance.update(replace(unknown, sample=replace(unknown.sample, running=None)))
    assert balance.rise(60.0) == pytest.approx(118 + 30)


def test_a_restart_empties_the_balance_and_says_so_until_the_window_is_past() -> None:
    """No rate spans it."""
    balance = fed()
    balance.begin_anew(Cause.RESTART)
    balance.update(scrape(101, 1.0, cause=Cause.RESTART))
    assert balance.rise(1.0) is None
    assert balance.spoiled_by(60.0, START + 161) is Reason.RESTART
    assert balance.spoiled_by(60.0, START + 161.5) is None


@pytest.mark.parametrize("field", ["finished", "running", "waiting"])
def test_no_balance_spans_a_total_that_was_contradicted(field: str) -> None:
    """When it is right again it may have jumped by the whole past."""
    balance = fed()
    wrong = scrape(101, 0.0, 1.0, contradicted=(Contradiction(field, ("prompts", "outputs")),))
    balance.update(replace(wrong, sample=replace(wrong.sample, **{field: None})))  # type: ignore[arg-type]
    balance.update(scrape(102, 50_000.0, 1.0))
    assert balance.rise(1.0) is None
    balance.update(scrape(103, 50_002.0, 1.0))
    assert balance.rise(1.0) == pytest.approx(2)


@pytest.mark.parametrize("field", ["finished", "running", "waiting", "first_token_count"])
def test_what_stood_for_a_while_is_spread_over_the_time_that_it_took(field: str) -> None:
    """Its total rises by all of it when it goes on; the minute before has its own part."""
    balance = fed(started=2.0)
    for second in range(101, 141):
        stood = scrape(second, 2.0 * second, 1.0, 2.0 * second, standing={field: second - 100})
        was = {field: 200.0} if field in ("finished", "first_token_count") else {field: 0.0}
        balance.update(replace(stood, sample=replace(stood.sample, **was)))  # type: ignore[arg-type]
    for second in range(141, 201):
        balance.update(scrape(second, 2.0 * second, 1.0, 2.0 * second))
        assert balance.rise(60.0) == pytest.approx(120)
        assert balance.mended(120.0, 0.0, 60.0, START + second) == Balanced(120.0, "balance", Reason.OK)


def test_first_tokens_that_stand_while_more_finish_than_had_begun_are_not_counted() -> None:
    """Whoever else is written with them, or not: a server of another kind. What they make up for is spread."""
    balance = fed(started=2.0)
    for second in range(101, 141):
        balance.update(scrape(second, 2.0 * second, 1.0, 200.0))
    for second in range(141, 201):
        balance.update(scrape(second, 2.0 * second, 1.0, 2.0 * second))
        assert balance.mended(120.0, 0.0, 60.0, START + second) == Balanced(120.0, "balance", Reason.OK)


def test_first_tokens_that_were_contradicted_are_counted_from_then_on() -> None:
    """They are used where they are more, and would be the whole past."""
    balance = fed(started=2.0)
    wrong = (Contradiction("first_token_count", ("finished",)),)
    balance.update(scrape(101, 202.0, 1.0, contradicted=wrong))
    balance.update(scrape(102, 204.0, 1.0, 90_000.0))
    assert balance.mended(120.0, 0.0, 60.0, START + 102) == Balanced(120.0, "balance", Reason.OK)


def test_an_engine_that_sleeps_has_no_rate() -> None:
    """Nor has the window in which it woke up."""
    asleep = replace(scrape(1, 1.0).sample, asleep=True)
    balance = fed()
    balance.update(replace(scrape(101, 200.0), sample=asleep))
    assert balance.spoiled_by(60.0, START + 150) is Reason.ASLEEP


def test_a_few_that_vanished_are_added_back_and_many_spoil_the_window() -> None:
    """They had arrived. Of 120 arrivals in a minute ten may vanish, and no twenty."""
    few, many = fed(vanished=10.0), fed(vanished=20.0)
    now = START + 100
    assert few.spoiled_by(60.0, now) is None
    assert few.mended(120.0, 0.0, 60.0, now) == Balanced(130.0, "balance", Reason.ABORT_BIASED)
    assert many.spoiled_by(60.0, now) is Reason.ABORTS
    assert few.mended(120.0, 0.0, 60.0, now + 61) == Balanced(120.0, "balance", Reason.OK)


def test_a_scrape_that_was_torn_takes_back_what_seemed_to_have_vanished() -> None:
    """They are there again in the next."""
    balance = fed(vanished=10.0)
    balance.update(scrape(101, 202.0, 1.0, returned=True))
    assert balance.mended(120.0, 0.0, 60.0, START + 101) == Balanced(120.0, "balance", Reason.OK)


@pytest.mark.parametrize(("started", "source"), [(2.0, "balance"), (2.4, "balance"), (3.0, "first_tokens")])
def test_first_tokens_count_where_they_are_more_beyond_noise(started: float, source: str) -> None:
    """Who is given up after a first token is seen there: 180 in a minute are too many for 120, 144 are not."""
    found = fed(started=started).mended(120.0, 0.0, 60.0, START + 100)
    assert found.source == source
    assert found.count == pytest.approx(180.0 if source == "first_tokens" else 120.0)


def test_first_tokens_do_not_count_after_an_eviction() -> None:
    """A preempted request waits again, and would be counted twice."""
    evicted = fed(started=3.0, preemptions=1.0)
    assert evicted.mended(120.0, 0.0, 60.0, START + 160).source == "balance"
    assert fed(started=3.0, preemptions=0.0).mended(120.0, 0.0, 60.0, START + 100).source == "first_tokens"


def test_what_a_log_shows_to_be_given_up_counts_where_it_finds_most() -> None:
    """One mend at a time: the log's, if it explains as much as the others."""
    assert fed().mended(120.0, 5.0, 60.0, START + 100) == Balanced(125.0, "abandoned", Reason.OK)
    assert fed(vanished=8.0).mended(120.0, 5.0, 60.0, START + 100).source == "balance"
    assert fed(vanished=8.0).mended(120.0, 8.0, 60.0, START + 100) == Balanced(128.0, "abandoned", Reason.OK)
