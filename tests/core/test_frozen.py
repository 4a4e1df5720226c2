"""Numbers that stand while those that are written with them move, one group after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.frozen import FROZEN_INTERVALS, GAUGES, QUEUES, Frozen
from kvwatch.facts import SGLANG, EngineKey, EngineSample, Histogram

FIRST = EngineSample(
    EngineKey("m", "0"),
    running=4.0,
    waiting=5.0,
    waiting_capacity=3.0,
    waiting_deferred=2.0,
    kv_usage_ratio=0.5,
    finished=10.0,
    steps=1000.0,
    generation_tokens=5000.0,
    prompt_tokens=900.0,
    first_token_count=12.0,
    request_prompt_tokens=Histogram((), (), 800.0, 10.0),
    request_generation_tokens=Histogram((), (), 4000.0, 10.0),
)


def later(sample: EngineSample, **fixed: object) -> EngineSample:
    """The sample after an interval in which everything moved but what is given."""
    prompts, outputs = sample.request_prompt_tokens, sample.request_generation_tokens
    assert prompts is not None
    assert outputs is not None
    moved = replace(
        sample,
        kv_usage_ratio=(sample.kv_usage_ratio or 0.0) + 0.001,
        finished=(sample.finished or 0.0) + 1,
        steps=(sample.steps or 0.0) + 50,
        generation_tokens=(sample.generation_tokens or 0.0) + 200,
        prompt_tokens=(sample.prompt_tokens or 0.0) + 80,
        first_token_count=(sample.first_token_count or 0.0) + 1,
        request_prompt_tokens=replace(prompts, count=(prompts.count or 0.0) + 1, total=(prompts.total or 0.0) + 80),
        request_generation_tokens=replace(
            outputs, count=(outputs.count or 0.0) + 1, total=(outputs.total or 0.0) + 400
        ),
    )
    return replace(moved, **fixed)  # type: ignore[arg-type]


def found_after(intervals: int, *names: str, usual: int = 3) -> frozenset[str]:
    """What is found where everything moves at first, and then these fields stand."""
    frozen, sample = Frozen(), FIRST
    found = take(frozen, sample)
    for number in range(usual + intervals):
        fixed = {name: getattr(sample, name) for name in names} if number >= usual else {}
        sample = later(sample, **fixed)
        found = take(frozen, sample)
    return found


def take(frozen: Frozen, sample: EngineSample) -> frozenset[str]:
    """What is found with one more sample."""
    return frozenset(name for name, missed in frozen.update(sample).items() if missed >= FROZEN_INTERVALS)


COUNTERS = (
    "finished",
    "request_prompt_tokens",
    "request_generation_tokens",
    "steps",
    "generation_tokens",
    "prompt_tokens",
    "first_token_count",
)


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_is_frozen_when_others_of_its_group_have_moved_twice_without_it(name: str) -> None:
    """One interval may come between two writes; it moves again, and is believed again."""
    assert found_after(1, name) == frozenset()
    assert found_after(2, name) == {name}
    assert found_after(0) == frozenset()


def test_a_counter_that_never_moved_is_not_waited_for() -> None:
    """Of a server that does not count it."""
    assert found_after(5, "steps", usual=0) == frozenset()


def test_a_group_that_stands_as_a_whole_is_at_rest() -> None:
    """No request finishes: all its counters stand together."""
    assert found_after(5, "finished", "request_prompt_tokens", "request_generation_tokens") == frozenset()


def test_gauges_that_stand_while_requests_finish_are_frozen_once_they_are_known_to_move() -> None:
    """Twenty finishes that moved them show that it is no accident; then two that do not are enough."""
    assert found_after(5, *GAUGES, usual=3) == frozenset()
    assert found_after(1, *GAUGES, usual=21) == frozenset()
    assert found_after(2, *GAUGES, usual=21) == set(GAUGES)


def test_a_queue_that_is_no_longer_the_sum_of_its_parts_is_not_of_now() -> None:
    """5 are 3 that wait for capacity and 2 for something else; then the parts say 1 and 2."""
    frozen = Frozen()
    assert take(frozen, FIRST) == frozenset()
    sample = later(FIRST)
    assert take(frozen, sample) == frozenset()
    assert take(frozen, later(sample, waiting_capacity=1.0)) == set(QUEUES)
    assert take(frozen, later(sample, waiting_capacity=None)) == frozenset()
    assert take(frozen, later(sample, waiting=3.0, waiting_capacity=1.0)) == frozenset()


def test_a_queue_that_never_was_the_sum_is_counted_in_another_way() -> None:
    """Nothing is wrong with it; and only vLLM writes these numbers together."""
    frozen = Frozen()
    for waiting in (9.0, 8.0, 7.0):
        assert take(frozen, later(FIRST, waiting=waiting)) == frozenset()
    other = replace(FIRST, server=SGLANG)
    frozen = Frozen()
    for _ in range(4):
        assert take(frozen, replace(other, waiting=9.0)) == frozenset()
        other = later(other, steps=1000.0)


def test_a_finished_request_is_counted_with_its_lengths_by_sglang_too() -> None:
    """By one call of its front end; its other numbers are counted in other places."""
    frozen, sample = Frozen(), replace(FIRST, server=SGLANG)
    for _ in range(3):
        take(frozen, sample := later(sample))
    take(frozen, sample := later(sample, finished=sample.finished, prompt_tokens=sample.prompt_tokens))
    assert take(frozen, later(sample, finished=sample.finished, prompt_tokens=sample.prompt_tokens)) == {"finished"}
