"""The window of finished requests, where a stretch of it does not stand for the traffic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.traffic.lengths import LengthWindow, Span
from kvwatch.facts import EngineKey, EngineSample

SAMPLE = EngineSample(EngineKey("m", "0"))


def second(end: int, *, output: float = 100.0, representative: bool = True) -> Interval:
    """A second in which one request finished."""
    return Interval(
        start=end - 1.0,
        end=float(end),
        sample=SAMPLE,
        generation_tokens=output,
        lengths_count=1.0,
        lengths_prompt_tokens=10.0,
        lengths_output_tokens=output,
        representative=representative,
    )


def spans_of(**changes: object) -> Span:
    """The span that one interval makes, in which nothing finished."""
    window = LengthWindow(60)
    nothing = Interval(
        start=0.0, end=2.0, sample=SAMPLE, generation_tokens=0.0, kv_capacity=KvCapacity(1000.0, 16, True)
    )
    window.update(replace(nothing, **changes))  # type: ignore[arg-type]
    (span,) = window.spans()
    return span


def test_what_an_interval_does_not_show_is_nothing_and_memory_is_unknown() -> None:
    """No tokens, no steps, no prompts: not one of them."""
    assert spans_of() == Span(2.0, 0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0, None)


def test_memory_is_held_over_the_steps_that_fit_into_the_interval() -> None:
    """0.2 and 0.4 of a thousand tokens for 2 s of steps of 20 ms; nothing where no step ends."""
    shown = spans_of(kv_usage_ratio=(0.2, 0.4), step_seconds=0.02, steps=90.0, generation_tokens=7.0, prompt_tokens=5.0)
    assert shown == Span(2.0, 0.0, 0.0, 0.0, 7.0, shown.held_token_steps, 90.0, 5.0, None)
    assert shown.held_token_steps == pytest.approx(0.3 * 1000 * 100)
    assert spans_of(kv_usage_ratio=(0.2, 0.4), steps=0.0).held_token_steps == 0.0
    assert spans_of(kv_usage_ratio=(0.2, 0.4), steps=3.0).held_token_steps is None
    assert spans_of(kv_usage_ratio=(0.2, None), step_seconds=0.02).held_token_steps is None
    assert spans_of(kv_usage_ratio=(None, 0.2), step_seconds=0.02).held_token_steps is None


def test_a_stretch_that_is_passed_over_leaves_no_trace() -> None:
    """None of its requests is in the window, whatever their lengths."""
    window = LengthWindow(60)
    for at in range(1, 101):
        window.update(second(at, output=1.0 if 50 <= at < 80 else 100.0, representative=not 50 <= at < 80))
    assert {span.output_tokens / span.count for span in window.spans()} == {100.0}


def test_so_does_one_of_which_it_is_not_known_what_was_generated() -> None:
    """Those that run would pass for requests that have generated nothing."""
    window = LengthWindow(60)
    window.update(second(1))
    window.update(replace(second(2), generation_tokens=None))
    assert [span.end for span in window.spans()] == [1.0]


def test_the_window_does_not_age_while_it_is_passed_over() -> None:
    """After two minutes that say nothing it still holds the seconds before, one by one, as second moments need them."""
    window = LengthWindow(60)
    for at in range(1, 101):
        window.update(second(at))
    for at in range(101, 221):
        window.update(second(at, representative=False))
    window.update(second(221))
    recent = [span for span in window.spans() if span.end > 40 + 1]
    assert [span.end for span in recent] == [*range(42, 101), 221]


def test_what_was_before_such_a_stretch_goes_once_the_window_is_full_again() -> None:
    """A minute after it the window holds that minute alone."""
    window = LengthWindow(60, min_requests=1)
    for at in range(1, 101):
        window.update(second(at))
    for at in range(101, 221):
        window.update(second(at, representative=False))
    for at in range(221, 300):
        window.update(second(at))
    assert min(span.end for span in window.spans()) == 240


@pytest.mark.parametrize(("spans", "rows"), [(0, 0), (1, 1), (100, 100), (101, 51), (250, 84)])
def test_a_window_is_dumped_in_a_hundred_rows_at_most_and_loses_no_request(spans: int, rows: int) -> None:
    """Neighbours are joined; the sums, and when the last one ended, are the same once they are taken up again."""
    window, again = LengthWindow(600), LengthWindow(600, min_requests=1000)
    for at in range(1, spans + 1):
        window.update(second(at, output=float(at)))
    state = window.dump()
    assert len(state) == rows
    again.restore(state)
    for name in ("count", "prompt_tokens", "output_tokens", "generation_tokens"):
        assert sum(getattr(s, name) for s in again.spans()) == sum(getattr(s, name) for s in window.spans())
    assert [s.end for s in again.spans()[-1:]] == [float(at) for at in [spans] if at]
