"""When a queue stands: what is served beside what μ says, how long nobody has finished, and who is parked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.traffic.standing_queue import Standing, StandingQueue
from kvwatch.facts import EngineKey, EngineSample

MU = 2.0
SAMPLE = EngineSample(EngineKey("m", "0"), waiting_capacity=5.0)


@pytest.mark.parametrize(
    ("served", "held_up"),
    [
        (((10.0, 9.9),), True),
        (((10.0, 10.0),), False),
        (((10.0, 11.0), (20.0, 0.0)), False),
        (((9.9, 3.5),), True),
        (((9.9, 3.7),), False),
        (((9.9, 3.7), (15.0, 14.9)), True),
        (((4.1, 0.0),), True),
        (((3.9, 0.0),), False),
        ((), False),
    ],
    ids=[
        "less than half",
        "half",
        "of late",
        "surely less",
        "by chance",
        "in the longer part",
        "none",
        "early",
        "none",
    ],
)
def test_a_queue_stands_where_less_than_half_of_the_service_rate_is_served(
    served: tuple[tuple[float, float], ...], held_up: bool
) -> None:
    """Two a second: over ten seconds twenty are promised, and ten is half; over fewer, chance is allowed for.

    Half of 19.8 is 9.9, less two standard deviations is 3.6; of eight that are promised none need be missed.
    """
    assert Standing(20.0, served=served).is_held_up(MU) is held_up
    assert Standing(20.0, served=served).seconds(MU) == (20.0 if held_up else None)
    assert not Standing(20.0, served=served).is_held_up(None)


@pytest.mark.parametrize(("parked", "seconds"), [(299.0, None), (300.0, 300.0)])
def test_requests_that_are_deferred_are_parked_after_five_minutes(parked: float, seconds: float | None) -> None:
    """Their number has not changed; where a queue stands too, the longer counts."""
    assert Standing(parked_seconds=parked).seconds(None) == seconds
    assert Standing(1000.0, parked, unserved=True).seconds(None) == 1000.0


def waits(at: int, **changes: object) -> Interval:
    """A second in which five wait, a hundred tokens are made and nobody finishes; steps take 20 ms."""
    made = Interval(
        start=at - 1.0,
        end=float(at),
        sample=SAMPLE,
        step_seconds=0.02,
        finished=0.0,
        generation_tokens=100.0,
        prompt_tokens=0.0,
        waiting=(5.0, 5.0),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def queue(output_tokens: float | None = 500.0, prompt_tokens: float = 1000.0) -> StandingQueue:
    """One to which requests of these lengths have come, and of which nobody waits yet."""
    followed = StandingQueue()
    lengths: dict[str, object] = {}
    if output_tokens is not None:
        lengths = {"lengths_output_tokens": 10 * output_tokens, "lengths_prompt_tokens": 10 * prompt_tokens}
        lengths["lengths_count"] = 10.0
    followed.update(waits(0, waiting=(0.0, 0.0), finished=10.0, **lengths))
    return followed


def until_unserved(followed: StandingQueue, **changes: object) -> int:
    """Seconds of waiting until it is said that nobody is served."""
    for at in range(1, 1000):
        followed.update(waits(at, **changes))
        if followed.get(float(at)).unserved:
            return at
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("output_tokens", "seconds"), [(100.0, 60), (999.0, 60), (1250.0, 75), (4890.0, 294), (10_000.0, 300), (None, 300)]
)
def test_nobody_is_served_after_three_lives_but_not_before_a_minute_and_at_the_latest_after_five(
    output_tokens: float | None, seconds: int
) -> None:
    """A life is 20 ms for each token of the mean output; five minutes too where it is not known."""
    assert until_unserved(queue(output_tokens)) == seconds


def test_whoever_finishes_is_served() -> None:
    """The minute, and the lives, count from there."""
    followed = queue()
    for at in range(1, 50):
        followed.update(waits(at))
    followed.update(waits(50, finished=1.0))
    for at in range(51, 110):
        followed.update(waits(at))
    assert not followed.get(109.0).unserved
    assert followed.get(109.0).waiting_seconds == 109.0
    followed.update(waits(110))
    assert followed.get(110.0).unserved


@pytest.mark.parametrize(
    "changes",
    [
        {"waiting": (5.0, 0.0)},
        {"waiting": (0.0, 5.0)},
        {"waiting": (None, 5.0)},
        {"cause": Cause.ABORTS},
        {"generation_tokens": None},
        {"sample": replace(SAMPLE, asleep=True)},
    ],
)
def test_what_breaks_the_wait_ends_it(changes: dict[str, object]) -> None:
    """Nobody waits at one of its ends, those that wait are others, or the engine sleeps."""
    followed = queue()
    for at in range(1, 80):
        followed.update(waits(at))
    followed.update(waits(80, **changes))
    assert followed.get(80.0) == Standing()
    followed.update(waits(81))
    found = followed.get(81.0)
    assert (found.waiting_seconds, found.unserved) == (1.0, False)


def test_a_restart_ends_the_wait_and_another_scale_does_not() -> None:
    """Who waits after a restart has not waited since before."""
    followed = queue()
    for at in range(1, 80):
        followed.update(waits(at, sample=replace(SAMPLE, waiting_deferred=2.0)))
    followed.begin_anew(Cause.UNIT)
    assert followed.get(79.0).waiting_seconds == 79.0
    followed.begin_anew(Cause.RESTART)
    assert followed.get(79.0) == Standing()


def test_parts_of_the_wait_are_judged_from_fifteen_seconds_on_and_each_a_tenth_longer() -> None:
    """Whole seconds: 15, then the first that is at least 1.1 times as long; a hundred tokens a second of 50 are two."""
    followed = queue(50.0)
    for at in range(1, 26):
        followed.update(waits(at))
        assert bool(followed.get(float(at)).served) is (at >= 15)
    assert followed.get(25.0).served == tuple((float(s), pytest.approx(2.0 * s)) for s in (15, 17, 19, 21, 24))


def test_what_was_done_is_counted_by_outputs_or_prompts_whichever_shows_more() -> None:
    """A burst of long prompts holds back the one, long answers the other."""
    for made, computed, served in ((100.0, 500.0, 2.0), (100.0, 3000.0, 3.0), (0.0, 0.0, 0.0)):
        followed = queue(50.0)
        for at in range(1, 16):
            followed.update(waits(at, generation_tokens=made, prompt_tokens=computed))
        assert followed.get(15.0).served == ((15.0, pytest.approx(15 * served)),)


def test_lengths_are_those_of_the_last_fifty_that_finished() -> None:
    """Of fifty more, of twice the length, 1 − 0.98⁵⁰ is in the mean; who does not stand for the traffic is left out."""
    followed = queue(50.0)
    twice = {"lengths_count": 50.0, "lengths_output_tokens": 50 * 100.0, "lengths_prompt_tokens": 50 * 1000.0}
    followed.update(waits(0, waiting=(0.0, 0.0), representative=False, **twice))
    followed.update(waits(0, waiting=(0.0, 0.0), **twice))
    mean = 50.0 + (1 - 0.98**50) * 50.0
    for at in range(1, 16):
        followed.update(waits(at))
    assert followed.get(15.0).served == ((15.0, pytest.approx(1500 / mean)),)


def test_where_others_are_served_past_those_that_wait_it_is_for_something_else() -> None:
    """An older server does not say for what; a newer one does, and then the queue is judged."""
    for sample, judged in ((replace(SAMPLE, waiting_capacity=None), False), (SAMPLE, True)):
        followed = queue(50.0)
        for at in range(1, 21):
            followed.update(waits(at, finished=1.0, sample=sample))
        assert bool(followed.get(20.0).served) is judged


def test_those_that_are_deferred_are_parked_while_their_number_stays_the_same() -> None:
    """It changes with each that is served; none is nobody."""
    followed = queue()
    for at in range(1, 100):
        deferred = 3.0 if at < 40 else 4.0
        followed.update(waits(at, waiting=(0.0, 0.0), sample=replace(SAMPLE, waiting_deferred=deferred)))
        assert followed.get(float(at)).parked_seconds == (at - 1.0 if at < 40 else at - 40.0)
    followed.update(waits(100, waiting=(0.0, 0.0)))
    assert followed.get(100.0).parked_seconds == 0.0


def test_where_it_is_not_shown_who_finishes_what_is_generated_is_for_somebody() -> None:
    """A counter that is missing makes no queue that nobody serves; one that stands at no token does."""
    assert not fed_for(600, finished=None).get(600.0).unserved
    assert fed_for(600, finished=None, generation_tokens=0.0).get(600.0).unserved


def fed_for(seconds: int, **changes: object) -> StandingQueue:
    """After so many seconds of waiting."""
    followed = queue()
    for at in range(seconds):
        followed.update(waits(at, **changes))
    return followed
