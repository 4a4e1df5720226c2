"""When requests waited, and which page came before, after, or for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.backtest.incidents import QueueSpells
from kvwatch.backtest.judge import Alerting, Outcome, pages, score
from kvwatch.backtest.report import pages_anybody
from kvwatch.backtest.spells import Spell, joined, spells
from kvwatch.backtest.timeline import Stretch
from kvwatch.promql.labels import labels_of
from tests.backtest.conftest import LLAMA, QWEN, STEP, found_in, minute, span, timeline, times, waiting


def alerting(start: float, end: float, alert: str = "A", model: object = QWEN) -> Alerting:
    """An alert that fires from one minute up to another."""
    return Alerting(alert, "critical", model, span(start, end))  # type: ignore[arg-type]


def test_spells_end_at_the_first_evaluation_at_which_nothing_holds() -> None:
    """An evaluation stands for the time up to the next one."""
    at = np.arange(0.0, 90.0, 15.0)
    holds = np.array([False, True, True, False, False, True])
    assert spells(at, holds, 15.0) == [Spell(15.0, 45.0), Spell(75.0, 90.0)]
    assert joined(spells(at, holds, 15.0), 30.0) == [Spell(15.0, 90.0)]


def test_a_queue_is_one_where_an_engine_waits_for_long_enough() -> None:
    """From the first request that waits to the last; a burst is none, and short breaks do not end one."""
    queue = waiting((20, 21), (60, 80), (83, 90))
    (incident,) = found_in({QWEN: timeline(QWEN, queue)})
    assert incident.spell == span(60, 90)
    assert incident.peak_waiting == pytest.approx(40, abs=2)  # the middle of the spell lies between two evaluations
    assert incident.ttft_p95 == pytest.approx(0.2 + incident.peak_waiting)
    assert incident.limit == "kv"
    assert not incident.open


def test_a_queue_across_two_stretches_of_evaluation_is_one() -> None:
    """Where a file ends and the next one begins means nothing."""
    (incident,) = found_in({QWEN: timeline(QWEN, waiting((80, 100)))})
    assert incident.spell == span(80, 100)


def test_a_queue_that_is_there_when_the_data_ends_is_open() -> None:
    """Nobody knows how long it was."""
    (incident,) = found_in({QWEN: timeline(QWEN, waiting((170, 181)))})
    assert incident.open


def test_how_long_requests_have_to_wait_is_the_users_choice() -> None:
    """A queue of five minutes is one for who asks for two, and none for who asks for ten."""
    lines = {QWEN: timeline(QWEN, waiting((60, 65)))}
    assert len(found_in(lines, 120.0)) == 1
    assert found_in(lines, 600.0) == []


def test_requests_that_waited_at_two_engines_in_turn_are_two_short_queues() -> None:
    """A model with many engines always has some request waiting somewhere; that is no incident."""
    queues = QueueSpells(STEP)
    stretch = Stretch(times())
    for engine, spell in (("0", (60, 61.5)), ("1", (61.5, 63))):
        stretch.queues.append((QWEN, labels_of("kvwatch_queue_length", engine=engine), waiting(spell)))
    queues.add(stretch)
    assert queues.of(QWEN, 120.0) == []
    assert queues.of(QWEN, 90.0) == [span(60, 63)]


OUTCOMES = [
    (alerting(50, 70), Outcome.BEFORE, 600.0),
    (alerting(45, 46), Outcome.BEFORE, 900.0),
    (alerting(10, 65), Outcome.BEFORE, 3000.0),
    (alerting(60, 70), Outcome.AFTER, 0.0),
    (alerting(63, 70), Outcome.AFTER, -180.0),
    (alerting(20, 29), Outcome.FALSE, None),
    (alerting(100, 110), Outcome.FALSE, None),
    (alerting(170, 175), Outcome.OPEN, None),
    (alerting(50, 70, model=LLAMA), Outcome.FALSE, None),
    (alerting(50, 70, model=None), Outcome.BEFORE, 600.0),
]


@pytest.mark.parametrize(("one", "outcome", "lead"), OUTCOMES)
def test_a_page_is_judged_by_what_follows_it(one: Alerting, outcome: Outcome, lead: float | None) -> None:
    """A queue from minute 60 to 80, of one model; the data ends with minute 180."""
    lines = {QWEN: timeline(QWEN, waiting((60, 80))), LLAMA: timeline(LLAMA, waiting())}
    (page,) = pages([one], found_in(lines), lines, minute(180))
    assert (page.outcome, page.lead_seconds) == (outcome, lead)


def test_a_page_after_which_an_engine_was_added_is_not_called_false() -> None:
    """Somebody may have done what it asked for, and then no queue comes."""
    engines = np.where(times() < minute(30), 2.0, 3.0)
    lines = {QWEN: timeline(QWEN, waiting(), engines)}
    (page,) = pages([alerting(25, 40)], [], lines, minute(180))
    assert page.outcome is Outcome.AVERTED
    assert page.added_after_seconds == pytest.approx(300, abs=STEP)  # as fine as the evaluations


def test_alerts_that_follow_each_other_closely_are_one_page() -> None:
    """Who is on call gets one notification; a model of its own is a page of its own."""
    lines = {QWEN: timeline(QWEN, waiting((60, 80))), LLAMA: timeline(LLAMA, waiting())}
    three = [alerting(50, 55, "Early"), alerting(58, 70, "Late"), alerting(50, 55, "Early", LLAMA)]
    found = pages(three, found_in(lines), lines, minute(180))
    assert [(p.model, p.alerts) for p in found] == [(LLAMA, ("Early",)), (QWEN, ("Early", "Late"))]


def test_the_score_counts_incidents_by_their_first_page() -> None:
    """Two queues: one page before the first, one after it; none about the second."""
    lines = {QWEN: timeline(QWEN, waiting((60, 80), (120, 125)))}
    found = found_in(lines)
    made = pages([alerting(50, 55), alerting(70, 75), alerting(20, 25)], found, lines, minute(180))
    result = score(made, found)
    assert (result.before, result.after, result.false, result.incidents) == (1, 1, 1, 2)
    assert result.leads == (600.0,)
    assert result.late == ()
    assert result.missed == (2,)
    assert result.median_lead_seconds == 600.0


def test_a_page_that_stands_for_hours_came_before_all_queues_that_begin_meanwhile() -> None:
    """It is one page, and neither queue came without one."""
    lines = {QWEN: timeline(QWEN, waiting((60, 80), (120, 125)))}
    found = found_in(lines)
    result = score(pages([alerting(50, 130)], found, lines, minute(180)), found)
    assert (result.pages, result.missed) == (1, ())
    assert result.leads == (600.0, 4200.0)


def test_who_pages_is_said_by_the_severity_where_any_rule_has_one_that_does() -> None:
    """In a file without such severities every alert pages."""
    alerts = [Alerting("A", "Critical", None, span(0, 1)), Alerting("B", "info", None, span(0, 1))]
    paging, quiet = pages_anybody(alerts, ["Critical", "info"])
    assert ([a.alert for a in paging], [a.alert for a in quiet]) == (["A"], ["B"])
    assert pages_anybody(alerts[1:], ["info", ""])[1] == []
