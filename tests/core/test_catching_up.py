"""What stood while others moved has risen by more than an interval's worth when it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.catching_up import CatchingUp
from kvwatch.core.interval import Interval
from kvwatch.core.reader import SampleReader
from tests.core.synthetic import START, SyntheticEngine, poisson

SAMPLE = SyntheticEngine([]).sample()
MOVES = Interval(
    start=0.0,
    end=1.0,
    sample=SAMPLE,
    steps=20.0,
    generation_tokens=200.0,
    inter_tokens=190.0,
    inter_token_seconds=9.5,
    first_tokens=10.0,
    prompt_tokens=900.0,
    prompt_tokens_computed=700.0,
)


def changed(**rises: float | None) -> Interval:
    """The same with other rises."""
    return replace(MOVES, **rises)  # type: ignore[arg-type]


@pytest.mark.parametrize("stands", [0.0, None])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("steps", ("steps",)),
        ("generation_tokens", ("generation_tokens",)),
        ("inter_tokens", ("inter_tokens", "inter_token_seconds")),
        ("prompt_tokens", ("prompt_tokens", "prompt_tokens_computed")),
    ],
)
def test_what_stood_is_left_out_of_one_interval(name: str, fields: tuple[str, ...], stands: float | None) -> None:
    """Of the one in which it goes on, and nothing else is; the next is whole."""
    catching_up = CatchingUp()
    catching_up.update(changed(**{name: stands}))
    after = catching_up.update(MOVES)
    assert after == changed(**dict.fromkeys(fields))
    assert catching_up.update(MOVES) == MOVES


def test_what_has_nothing_to_count_stands_rightly() -> None:
    """An idle engine, a step of prompts alone, first tokens without further ones: the next interval is whole."""
    idle = dict.fromkeys(("steps", "generation_tokens", "inter_tokens", "first_tokens", "prompt_tokens"), 0.0)
    prompts = {**idle, "steps": 3.0}
    first = {**idle, "steps": 3.0, "generation_tokens": 2.0, "first_tokens": 2.0, "prompt_tokens": 90.0}
    for before in (idle, prompts, first):
        catching_up = CatchingUp()
        catching_up.update(changed(**before))
        assert catching_up.update(MOVES) == MOVES


def test_a_chain_that_begins_again_has_nothing_that_stood() -> None:
    """The first interval of another process is whole."""
    catching_up = CatchingUp()
    catching_up.update(replace(MOVES, steps=0.0))
    catching_up.begin_anew()
    assert catching_up.update(MOVES) == MOVES


def test_latencies_that_come_back_are_not_all_of_the_interval_in_which_they_do() -> None:
    """A histogram that is shown as empty for a while holds the whole past again when it is right."""
    engine, reader = SyntheticEngine(poisson(8, 100)), SampleReader()
    found = []
    for second in range(60):
        engine.advance(START + second)
        sample = engine.sample()
        if 30 <= second < 40:
            sample = replace(sample, inter_token_count=0.0, inter_token_seconds_sum=0.0)
        interval = reader.read(START + second, sample)
        assert interval is not None
        found.append(interval)
    assert found[40].inter_tokens is None
    assert found[41].inter_tokens
    before = max(interval.inter_tokens or 0.0 for interval in found[:30])
    assert max(interval.inter_tokens or 0.0 for interval in found[30:]) < 2 * before
