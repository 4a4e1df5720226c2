"""What the reader makes of the first sample and of one after a restart."""

from __future__ import annotations

from kvwatch.core.interval import Cause
from kvwatch.core.reader import SampleReader
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
