"""Whether what finishes stands for what arrives: known here, as each request's length and arrival are."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from kvwatch.core.interval import Interval
from kvwatch.core.traffic.turnover import Turnover
from kvwatch.facts import EngineKey, EngineSample

STEP_SECONDS = 0.02
SAMPLE = EngineSample(EngineKey("m", "0"))


@dataclass
class Judged:
    """Outputs of the requests that finished in one second, and whether they were taken for the traffic's."""

    at: int
    outputs: list[int]
    representative: bool


def served(rate: Callable[[int], float], seconds: int, mean_output: int, seed: int = 1) -> list[Judged]:
    """Requests come at ``rate`` [1/s], each lives as many steps as it has tokens (exponential), and all run at once."""
    source, turnover = random.Random(seed), Turnover()
    inside: list[tuple[float, int]] = []
    judged: list[Judged] = []
    running = 0
    for second in range(seconds):
        at = float(second)
        while (at := at + source.expovariate(rate(second))) < second + 1:
            output = max(round(source.expovariate(1 / mean_output)), 1)
            inside.append((at + output * STEP_SECONDS, output))
        done = [output for end, output in inside if end <= second + 1]
        inside = [request for request in inside if request[0] > second + 1]
        interval = Interval(
            start=float(second),
            end=second + 1.0,
            sample=SAMPLE,
            step_seconds=STEP_SECONDS,
            lengths_count=float(len(done)),
            lengths_output_tokens=float(sum(done)),
            running=(float(running), float(len(inside))),
            waiting=(0.0, 0.0),
        )
        running = len(inside)
        judged.append(Judged(second, done, turnover.update(interval)))
    return judged


def mean(judged: list[Judged], *, taken_only: bool) -> float:
    """Mean output of what finished."""
    outputs = [output for j in judged for output in j.outputs if j.representative or not taken_only]
    return sum(outputs) / len(outputs)


def test_steady_traffic_is_taken() -> None:
    """At a constant rate the number of running requests hardly ever moves by more than chance."""
    judged = served(lambda _: 5.0, 1200, 500)
    assert sum(j.representative for j in judged) >= 0.97 * len(judged)


def test_the_short_ones_that_finish_first_are_passed_over() -> None:
    """When four times as many begin, the mean of what finishes falls by a third; the mean of what is taken does not."""
    judged = served(lambda second: 5.0 if second < 600 else 20.0, 660, 500)
    life = round(500 * STEP_SECONDS)
    first = judged[600 : 600 + life]
    assert mean(first, taken_only=False) < 0.7 * 500
    assert mean(judged[300:], taken_only=True) > 0.93 * 500


def test_the_long_ones_that_finish_last_are_passed_over() -> None:
    """When hardly any come any more, the last that finish are long; the mean of what is taken is not theirs."""
    judged = served(lambda second: 20.0 if second < 600 else 0.2, 640, 500)
    last = judged[600:]
    assert mean(last, taken_only=False) > 1.4 * 500
    assert mean(judged[400:], taken_only=True) < 1.07 * 500


def second(at: int, waiting: tuple[float, float] = (0.0, 0.0)) -> Interval:
    """A second in which five requests of 500 tokens finish and fifty run."""
    return Interval(
        start=at - 1.0,
        end=float(at),
        sample=SAMPLE,
        step_seconds=STEP_SECONDS,
        lengths_count=5.0,
        lengths_output_tokens=2500.0,
        running=(50.0, 50.0),
        waiting=waiting,
    )


def test_an_engine_that_has_become_full_is_waited_for() -> None:
    """Once requests have waited for a quarter of a mean life, what finishes is passed over until two and a half."""
    turnover = Turnover()
    assert all(turnover.update(second(at)) for at in range(1, 100))
    passed_over = [at for at in range(100, 160) if not turnover.update(second(at, (1.0, 1.0)))]
    life = 500 * STEP_SECONDS
    assert passed_over == [at for at in range(100, 160) if life / 4 <= at - 100 < 2.5 * life]


def test_a_request_that_waits_for_a_step_fills_nothing() -> None:
    """A queue that is seen now and then, and is gone at the next scrape, says nothing about lengths."""
    turnover = Turnover()
    for at in range(1, 300):
        assert turnover.update(second(at, (float((at - 1) % 3 == 0), float(at % 3 == 0))))


def test_a_server_that_has_just_been_found_is_not_waited_for() -> None:
    """Before anything is known of the lengths, a mean that is off is better than none."""
    judged = served(lambda second: 1.0 if second < 30 else 10.0, 60, 500)
    assert all(j.representative for j in judged if sum(len(k.outputs) for k in judged[: j.at]) < 60)


def test_traffic_that_never_settles_is_taken_in_the_end() -> None:
    """A rate that swings all the time is not passed over for longer than ten mean lives at a stretch."""
    judged = served(lambda second: 20.0 if second // 15 % 2 else 1.0, 1200, 500)
    longest = stretch = 0
    for j in judged:
        stretch = 0 if j.representative else stretch + 1
        longest = max(longest, stretch)
    assert longest <= 10 * 500 * STEP_SECONDS * 1.3  # the mean life as it was known is not the true one
    assert sum(j.representative for j in judged) >= 0.5 * len(judged)


def test_after_a_restart_nothing_is_held_against_those_before() -> None:
    """Who ran before a restart has nothing to do with who runs now."""
    turnover = Turnover()
    for at in range(1, 100):
        turnover.update(second(at))
    turnover.begin_anew()
    assert turnover.update(
        Interval(start=100.0, end=101.0, sample=SAMPLE, step_seconds=STEP_SECONDS, running=(0.0, 1.0), waiting=(0, 0))
    )


def test_four_scrapes_in_a_row_must_see_a_queue_where_lives_are_short() -> None:
    """A life of four seconds: at the second scrape a quarter of it has passed, but the engine is full at the fourth.

    What finishes is passed over until two and a half lives after the first.
    """
    short = {"lengths_output_tokens": 5 * 200.0}
    turnover = Turnover()
    assert all(turnover.update(replace(second(at), **short)) for at in range(1, 100))
    passed_over = [at for at in range(100, 130) if not turnover.update(replace(second(at, (1.0, 1.0)), **short))]
    assert passed_over == list(range(103, 110))
