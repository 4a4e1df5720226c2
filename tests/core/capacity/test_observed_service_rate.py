"""What is served while requests wait is μ, once it may be believed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kvwatch.core.capacity.model import CapacityModel
from kvwatch.core.capacity.observed_service_rate import Backlog
from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.options import CoreOptions
from kvwatch.core.steps.step_seconds import StepTime
from kvwatch.facts import Settings
from tests.core.synthetic import START, SyntheticEngine

SETTINGS = Settings(100, 2048, 4096, "config")
OUTPUT = 180.0
"""Mean output of the requests, as it was known before the backlog [tokens]."""
FULL_SEATS = 90.0
"""Of a hundred; from here on they count as full."""


def second(number: int, **changes: object) -> Interval:
    """A second of backlog: 400 tokens of 2 requests that had 180 tokens each, in 10 steps."""
    shown = replace(
        SyntheticEngine([]).sample(), running=FULL_SEATS, waiting=5.0, waiting_capacity=None, kv_usage_ratio=0.1
    )
    interval = Interval(
        start=START + number,
        end=START + number + 1,
        sample=shown,
        settings=SETTINGS,
        steps=10.0,
        generation_tokens=400.0,
        prompt_tokens_computed=100.0,
        lengths_count=2.0,
        lengths_output_tokens=360.0,
        running=(FULL_SEATS, FULL_SEATS),
        waiting=(5.0, 5.0),
    )
    sample = {k: v for k, v in changes.items() if k in {"kv_usage_ratio", "waiting_capacity"}}
    rest = {k: v for k, v in changes.items() if k not in sample and k != "seated"}
    seated = changes.get("seated", FULL_SEATS)
    return replace(interval, sample=replace(shown, running=seated, **sample), **rest)  # type: ignore[arg-type]


def fed(seconds: int, window: float = 60.0, **changes: object) -> Backlog:
    """After so many seconds of it."""
    backlog = Backlog(window)
    for number in range(seconds):
        backlog.update(second(number, **changes))
    return backlog


def test_the_rate_is_tokens_over_the_mean_output_of_those_that_finished() -> None:
    """400 tokens a second at 180 a request are 2.2 requests a second, however few happened to finish."""
    found = fed(30).rate(0.0, 1.0, SETTINGS, 2048)
    assert found is not None
    assert found.rate == pytest.approx(400 / 180)
    assert found.requests == pytest.approx(30 * 400 / 180)


def test_until_twenty_have_finished_their_mean_output_is_the_one_that_was_known_before() -> None:
    """Those that finish first are the short ones; and where none was known either, nothing is."""
    few = fed(20, lengths_count=0.9)
    assert few.rate(0.0, 200.0, SETTINGS, 2048).rate == pytest.approx(400 / 200)  # type: ignore[union-attr]
    assert few.rate(0.0, 0.0, SETTINGS, 2048) is None
    assert fed(23, lengths_count=0.9).rate(0.0, 200.0, SETTINGS, 2048).rate == pytest.approx(  # type: ignore[union-attr]
        400 / (360 / 0.9)
    )


def test_it_takes_fifteen_seconds_and_twenty_requests_after_a_lifetime() -> None:
    """Of a batch that is full."""
    assert fed(14).rate(0.0, OUTPUT, SETTINGS, 2048) is None
    assert fed(15).rate(0.0, OUTPUT, SETTINGS, 2048) is not None
    assert fed(17, generation_tokens=200.0).rate(0.0, OUTPUT, SETTINGS, 2048) is None
    assert fed(18, generation_tokens=200.0).rate(0.0, OUTPUT, SETTINGS, 2048) is not None
    assert fed(30).rate(16.0, OUTPUT, SETTINGS, 2048) is None
    assert fed(30).rate(15.0, OUTPUT, SETTINGS, 2048) is not None


def test_only_the_window_counts() -> None:
    """Of a long backlog the last minute."""
    found = fed(300).rate(0.0, OUTPUT, SETTINGS, 2048)
    assert found is not None
    assert found.requests == pytest.approx(60 * 400 / 180)


@pytest.mark.parametrize("waiting", [(0.0, 5.0), (5.0, 0.0), (None, 5.0)])
def test_a_moment_without_a_queue_ends_the_backlog(waiting: tuple[float | None, float | None]) -> None:
    """At either end of an interval; so does one whose tokens are not known."""
    backlog = fed(30)
    assert backlog.active
    backlog.update(second(30, waiting=waiting))
    assert not backlog.active
    assert backlog.rate(0.0, OUTPUT, SETTINGS, 2048) is None
    backlog = fed(30)
    backlog.update(second(30, generation_tokens=None))
    assert not backlog.active


@pytest.mark.parametrize("cause", list(Cause))
def test_a_backlog_does_not_go_on_across_a_break(cause: Cause) -> None:
    """But where only the unit of lengths is another, the same requests wait; what was served may have been wrong."""
    backlog = fed(30)
    backlog.begin_anew(cause)
    assert backlog.active is not (cause.changes_requests or cause is Cause.REFUTED)


def test_each_limit_that_is_nine_tenths_used_up_makes_an_engine_full() -> None:
    """Seats, memory, or the budget of a step: tokens computed and generated, over its steps."""
    assert fed(1).is_full(SETTINGS, 2048)
    assert not fed(1, seated=FULL_SEATS - 1).is_full(SETTINGS, 2048)
    assert fed(1, seated=1.0, kv_usage_ratio=0.9).is_full(SETTINGS, 2048)
    assert not fed(1, seated=1.0, kv_usage_ratio=0.89).is_full(SETTINGS, 2048)
    assert fed(1, seated=1.0).is_full(SETTINGS, 55)
    assert not fed(1, seated=1.0).is_full(SETTINGS, 56)
    assert not fed(1).is_full(Settings(None, 2048, 4096, "config"), 2048)


def test_one_scrape_at_the_limit_does_not_make_an_engine_full() -> None:
    """Three quarters of the backlog's time do: less touches the seats by chance."""
    for taken, full in ((29, False), (30, True)):
        backlog = Backlog(60.0)
        for number in range(40):
            backlog.update(second(number, seated=FULL_SEATS if number >= 40 - taken else 1.0))
        assert backlog.is_full(SETTINGS, 2048) is full


def test_what_waits_beside_room_is_believed_after_it_would_have_been_passed_over() -> None:
    """More than ten scrapes and twenty seconds, whatever the server says of why they wait."""
    assert fed(20, seated=1.0, waiting_capacity=5.0).rate(0.0, OUTPUT, SETTINGS, 2048) is None
    assert fed(21, seated=1.0, waiting_capacity=5.0).rate(0.0, OUTPUT, SETTINGS, 2048) is not None
    sparse = Backlog(600.0)
    for number in range(11):
        assert sparse.rate(0.0, OUTPUT, SETTINGS, 2048) is None
        seconds = replace(
            second(number, seated=1.0, waiting_capacity=5.0), start=START + 5 * number, end=START + 5 * number + 5
        )
        sparse.update(seconds)
    assert sparse.rate(0.0, OUTPUT, SETTINGS, 2048) is not None


def test_beside_room_in_all_limits_a_backlog_is_believed_late_or_not_at_all() -> None:
    """After four lifetimes where the server says that they wait for capacity, or seats are not known; else never."""
    unseated = Settings(None, 2048, 4096, "config")
    for settings, told in ((SETTINGS, 5.0), (unseated, None)):
        backlog = fed(40, seated=1.0, waiting_capacity=told)
        assert backlog.rate(6.0, OUTPUT, settings, 2048) is not None
        assert backlog.rate(6.5, OUTPUT, settings, 2048) is None
    assert fed(40, seated=1.0).rate(0.0, OUTPUT, SETTINGS, 2048) is None


@pytest.mark.parametrize(("step", "known"), [(StepTime(0.1, 0.1, 30), True), (None, False)])
def test_the_model_asks_a_backlog_by_what_a_request_generates_and_how_long_a_step_takes(
    step: StepTime | None, known: bool
) -> None:
    """Before any interval, without a queue, and while no step time is known, no rate is observed."""
    population = SimpleNamespace(mean_output_tokens=lambda: OUTPUT)
    times = SimpleNamespace(get=lambda _: step)
    model = CapacityModel(population, times, None, CoreOptions())  # type: ignore[arg-type]
    assert model._observed() is None
    for number in range(60):
        model.update(second(number))
    found = model._observed()
    assert (found is not None) is known
    if found is not None:
        assert found == fed(60).rate(OUTPUT * 0.1, OUTPUT, SETTINGS, 2048)
        assert found.rate == pytest.approx(400 / 180)
    model.update(second(60, waiting=(5.0, 0.0)))
    model.update(second(61, waiting=(0.0, 0.0)))
    assert model._observed() is None
