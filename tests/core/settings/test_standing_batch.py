"""A batch that stands at one number beside a queue: which scrapes show seats, each limit from both of its sides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kvwatch.core.settings.queued import Queued
from kvwatch.core.settings.standing_batch import Standing, standing

SEATS, STEPS = 37, 50.0
"""Seats of the engine, and the steps between two scrapes."""


def scrapes(
    missing: Sequence[float], ended: float = 0.0, output: float = 100.0, prompt: float = 0.0, seats: int = SEATS
) -> list[Queued]:
    """Scrapes that find so many seats empty; ``ended`` requests finish in a step, each of ``output`` tokens.

    ``prompt`` are prompt tokens of a step.
    """
    finished = ended * STEPS
    generated = finished * output if finished else seats * STEPS
    return [
        Queued(0.0, 1.0, seats - empty, finished, STEPS, generated, prompt * STEPS, may_be_deferred=False)
        for empty in missing
    ]


def test_a_batch_that_never_changes_is_all_the_seats() -> None:
    """Nobody finished and nobody came."""
    assert standing(scrapes([0] * 7), None) == Standing(SEATS, exact=True)
    assert standing([], None) is None


@pytest.mark.parametrize(("ended", "exact"), [(1.0, True), (1.1, False)])
def test_up_to_one_request_that_ends_in_a_step_the_full_batch_is_seen_itself(ended: float, exact: bool) -> None:
    """A third of the scrapes find no seat empty then. With more the seats are the mean batch and what ended in it."""
    found = standing(scrapes([0, 1, 2] * 10, ended), None)
    assert found == Standing(SEATS, exact)


def test_where_many_end_in_a_step_the_seats_are_more_than_any_scrape_shows() -> None:
    """A mean of five end in each: 32 run in the mean, and no scrape shows more than 34."""
    assert standing(scrapes([3, 4, 5, 6, 7] * 4, ended=5.0), None) == Standing(SEATS, exact=False)


@pytest.mark.parametrize(("output", "shows"), [(3.9, False), (4.0, True)])
def test_requests_that_live_for_a_few_steps_show_no_seats(output: float, shows: bool) -> None:
    """Below four tokens it may be the token budget that lets one in after another."""
    assert (standing(scrapes([0, 1] * 10, 0.5, output), None) is not None) is shows


@pytest.mark.parametrize(("prompt", "shows"), [(1800.0, True), (1810.0, False)])
def test_steps_that_are_full_of_tokens_explain_the_queue(prompt: float, shows: bool) -> None:
    """Of a budget of 2,048 nine tenths are 1,843: 37 of those that decode, the rest of prompts."""
    queued = scrapes([0] * 10, prompt=prompt)
    assert (standing(queued, 2048) is not None) is shows
    assert standing(queued, None) is not None


@pytest.mark.parametrize(("outliers", "stands"), [(2, True), (3, False)])
def test_a_tenth_of_the_scrapes_may_see_many_end_at_once(outliers: int, stands: bool) -> None:
    """Of twenty two may: requests that began together end together."""
    assert (standing(scrapes([0] * (20 - outliers) + [9] * outliers), None) is not None) is stands


@pytest.mark.parametrize(("missing", "stands"), [(6, True), (7, False)])
def test_no_more_seats_are_empty_than_chance_lets_requests_finish(missing: int, stands: bool) -> None:
    """Of sixteen scrapes, with none that finished: three standard errors of a quarter of a request are six in all."""
    assert (standing(scrapes([1] * missing + [0] * (16 - missing)), None) is not None) is stands


def test_a_scrape_is_far_off_from_four_standard_deviations_on() -> None:
    """Where hardly any finish that is two seats: up to it a scrape counts with the others, beyond it is set aside."""
    within, beyond = [2, 2, 2] + [0] * 17, [4, 4] + [0] * 18
    assert standing(scrapes(within), None) is not None  # three that were set aside would be one too many
    assert standing(scrapes(beyond), None) is not None  # two that counted would move the mean by 0.4 seats
