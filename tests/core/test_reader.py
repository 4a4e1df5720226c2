"""What the reader makes of the first sample and of one after a restart."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.reader import SampleReader
from kvwatch.facts import EngineSample, Histogram
from tests.core.synthetic import START, SyntheticEngine, poisson


def test_an_interval_that_begins_a_chain_counts_nothing() -> None:
    """Of the time before it nothing is known: no request finished, and no token is anybody's."""
    engine, reader = SyntheticEngine(poisson(5, 200)), SampleReader()
    engine.advance(START + 60)
    first = reader.read(START + 60, engine.sample())
    engine.restart()
    engine.advance(START + 61)
    again = reader.read(START + 61, engine.sample())
    assert first is not None
    assert again is not None
    assert (first.cause, again.cause) == (Cause.FIRST, Cause.RESTART)
    for interval in (first, again):
        assert interval.seconds == 0
        assert (interval.lengths_count, interval.lengths_prompt_tokens, interval.lengths_output_tokens) == (0, 0, 0)
        assert (interval.finished, interval.steps, interval.generation_tokens) == (None, None, None)


def _with_lengths(sample: EngineSample, count: float, prompt: float, output: float, outputs: float) -> EngineSample:
    """A sample whose length histograms hold ``count`` prompts and ``outputs`` outputs, with these tokens in all."""
    return replace(
        sample,
        request_prompt_tokens=Histogram((inf,), (count,), prompt, count),
        request_generation_tokens=Histogram((inf,), (outputs,), output, outputs),
    )


def test_lengths_are_counted_where_both_histograms_agree_and_over_both_intervals_where_one_was_torn() -> None:
    """A scrape that shows a prompt without its output is passed over; sums that fall are nobody's lengths."""
    sample, reader = SyntheticEngine([]).sample(), SampleReader()
    shown = [(10, 1000, 500, 10), (12, 1300, 560, 11), (13, 1400, 600, 13), (15, 1100, 700, 15), (16, 1150, 730, 16)]
    found = []
    for second, numbers in enumerate(shown):
        interval = reader.read(START + second, _with_lengths(sample, *map(float, numbers)))
        assert interval is not None
        found.append((interval.lengths_count, interval.lengths_prompt_tokens, interval.lengths_output_tokens))
    assert found == [(0, 0, 0), (0, 0, 0), (3, 400, 100), (0, 0, 0), (1, 50, 30)]


def test_what_was_learnt_with_a_metric_that_is_refuted_now_is_learnt_again() -> None:
    """The chain ends where the contradiction is found, once, and where it is over; the unit of lengths is 1 there.

    Three tokens an output until the server counts each finished request twice.
    """
    engine, reader = SyntheticEngine(poisson(10, 400)), SampleReader()
    causes, units = {}, {}
    for second in range(1, 400):
        engine.advance(START + second)
        sample = engine.sample()
        tokens = 3 * (sample.generation_tokens or 0.0)
        sample = replace(
            sample, generation_tokens=tokens, spec_decode_drafts=sample.steps, request_generation_tokens=None
        )
        if 100 <= second < 200:
            sample = replace(sample, finished=2 * (sample.finished or 0.0))
        interval = reader.read(START + second, sample)
        assert interval is not None
        causes[second], units[second] = interval.cause, interval.unit_tokens
    refuted = [second for second, cause in causes.items() if cause is Cause.REFUTED]
    assert len(refuted) == 2
    found, over = refuted
    assert 100 < found < 120
    assert 200 < over < 240
    for second in refuted:
        assert units[second - 1] > 2.5
        assert units[second] == 1.0
        assert units[second + 60] > 2.5


@pytest.mark.parametrize(
    ("count", "seconds", "known"),
    [
        (10.0, 10 * 3601.0, True),  # an hour and the interval each: the longest that is believed
        (10.0, 10 * 3601.0 + 1.0, False),
        (0.0, 0.0, True),
        (0.0, 1.0, False),
        (None, 1.0, False),
        (10.0, None, False),
    ],
)
def test_times_between_tokens_that_are_longer_than_any_are_unknown_with_their_count(
    count: float | None, seconds: float | None, known: bool
) -> None:
    """As where a request is aborted inside an engine, and one of the two alone says nothing."""
    sample, reader = SyntheticEngine([]).sample(), SampleReader()
    reader.read(START, replace(sample, inter_token_count=5.0, inter_token_seconds_sum=1.0))
    now = replace(
        sample,
        inter_token_count=None if count is None else 5.0 + count,
        inter_token_seconds_sum=None if seconds is None else 1.0 + seconds,
    )
    interval = reader.read(START + 1.0, now)
    assert interval is not None
    assert (interval.inter_tokens, interval.inter_token_seconds) == ((count, seconds) if known else (None, None))
