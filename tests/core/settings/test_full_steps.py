"""Steps that stand at one number of tokens beside a queue: what they show of the token budget, from both sides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kvwatch.core.settings.full_steps import step_tokens
from kvwatch.core.settings.queued import Queued

STEPS = 50.0
"""Steps between two scrapes."""


def scrapes(
    tokens: Sequence[float] = (2048.0,) * 20,
    *,
    steps: float = STEPS,
    decoding: float = 40.0,
    finished: float = 1.0,
    swing: float = 10.0,
    may_be_deferred: bool = False,
) -> list[Queued]:
    """Scrapes whose steps have so many tokens, ``decoding`` of them output; the batch swings by ``swing`` about 100.

    ``finished`` is in each interval.
    """
    return [
        Queued(
            end=float(i),
            seconds=1.0,
            running=100.0 + swing * (-1) ** i,
            finished=finished,
            steps=steps,
            generated_tokens=decoding * steps + finished,
            computed_tokens=(of_step - decoding) * steps - finished,
            may_be_deferred=may_be_deferred,
        )
        for i, of_step in enumerate(tokens)
    ]


def budget(queued: Sequence[Queued]) -> int | None:
    """The budget that is found where seats are free."""
    found = step_tokens(queued, 0.0, seats_free=True)
    return found.budget if found is not None else None


def test_full_steps_are_the_budget_where_nothing_else_holds_requests_back() -> None:
    """With free seats, and where the server says what waits for capacity; else only what the budget is not below."""
    found = step_tokens(scrapes(), 0.0, seats_free=True)
    assert found is not None
    assert (found.floor, found.budget) == (2048.0, 2048)
    for held in (
        step_tokens(scrapes(), 0.0, seats_free=False),
        step_tokens(scrapes(may_be_deferred=True), 0.0, seats_free=True),
    ):
        assert held is not None
        assert (held.floor, held.budget) == (2048.0, None)


def test_where_computed_prompts_are_not_counted_nothing_is_shown() -> None:
    """Tokens found in the cache are no part of a step."""
    assert step_tokens([q._replace(computed_tokens=None) for q in scrapes()], 0.0, seats_free=True) is None


@pytest.mark.parametrize(("steps", "shows"), [(49.5, False), (50.0, True)])
def test_a_hundred_steps_show_something(steps: float, shows: bool) -> None:
    """In two intervals."""
    assert (budget(scrapes((2048.0, 2048.0), steps=steps)) is not None) is shows


@pytest.mark.parametrize(("decoding", "shows"), [(2.99, False), (3.0, True)])
def test_steps_without_output_are_not_counted_so_that_three_decode_at_least(decoding: float, shows: bool) -> None:
    """In a mean step."""
    assert (step_tokens(scrapes(decoding=decoding), 0.0, seats_free=True) is not None) is shows


@pytest.mark.parametrize(
    ("finished", "swing", "free"),
    [(50.0, 2.0, False), (50.0, 2.1, True), (5.0, 1.0, False), (5.0, 1.1, True)],
)
def test_the_batch_swings_more_than_its_seats_would_let_it(finished: float, swing: float, free: bool) -> None:
    """Four times the variance of what finishes in a step: 1, or a tenth, for which a quarter is taken."""
    assert (budget(scrapes(finished=finished, swing=swing)) == 2048) is free


@pytest.mark.parametrize(("decoding", "shows"), [(799.9, True), (800.0, False)])
def test_a_fifth_of_the_tokens_must_be_of_prompts(decoding: float, shows: bool) -> None:
    """Of 1,000, the first token of the one that finishes apart; what only decodes has steps of one token count too."""
    queued = scrapes((1000.0,) * 20, decoding=decoding)
    assert (budget(queued) is not None) is shows


@pytest.mark.parametrize(("tokens", "found"), [(31.9, None), (32.0, 32)])
def test_nobody_has_a_budget_below_two_blocks(tokens: float, found: int | None) -> None:
    """32 tokens."""
    assert budget(scrapes((tokens,) * 20, decoding=4.0)) == found


@pytest.mark.parametrize(("swing", "stands"), [(103.0, True), (105.0, False)])
def test_tokens_of_a_step_may_differ_by_a_tenth_beside_the_prompts_that_scrapes_cut(swing: float, stands: bool) -> None:
    """Steps of 1,000 tokens; two hundred prompts of 199 tokens in fifty steps: one that is cut makes 4 of a step."""
    tokens = [1000.0 + swing * (-1) ** i for i in range(20)]
    queued = scrapes(tokens, decoding=200.0, finished=200.0, swing=50.0)
    assert (budget(queued) is not None) is stands


@pytest.mark.parametrize(("swing", "stands"), [(299.0, True), (301.0, False)])
def test_long_prompts_that_scrapes_cut_excuse_three_tenths(swing: float, stands: bool) -> None:
    """Prompts of 40,000 tokens: one that is cut makes 800 of a step of 1,000, and nothing would be seen to stand."""
    tokens = [1000.0 + swing * (-1) ** i for i in range(20)]
    assert (budget(scrapes(tokens, decoding=200.0)) is not None) is stands


@pytest.mark.parametrize(
    ("tokens", "found"), [(2048 * 1.019, 2048), (2048 * 0.981, 2048), (2048 * 1.021, 2091), (3000.0, 3000)]
)
def test_a_count_within_two_hundredths_of_a_power_of_two_is_that_power(tokens: float, found: int) -> None:
    """Nearly all budgets are one; 2,091 is another number."""
    assert budget(scrapes((tokens,) * 20)) == found


def test_two_prompts_may_have_been_computed_in_part_before_the_first_scrape() -> None:
    """In 1,000 steps two of 10,000 tokens are 20 of a step; a floor is no lower than 0."""
    found = step_tokens(scrapes(), 10_000.0, seats_free=False)
    assert found is not None
    assert found.floor == pytest.approx(2048.0 - 20.0)
    unknown = step_tokens(scrapes(), 1e9, seats_free=False)
    assert unknown is not None
    assert unknown.floor == 0.0
