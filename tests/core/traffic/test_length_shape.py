"""How buckets fill, from histograms that only count up, and from damaged ones."""

from __future__ import annotations

from math import inf

import pytest

from kvwatch.core.traffic.length_shape import LengthShape
from kvwatch.facts import EngineKey, EngineSample, Histogram

EDGES = (10.0, 100.0, inf)


def sample(*cumulative: float) -> EngineSample:
    """A server whose prompts and outputs fill the same buckets."""
    histogram = Histogram(EDGES, cumulative, 0.0, cumulative[-1])
    return EngineSample(EngineKey("m", "0"), request_prompt_tokens=histogram, request_generation_tokens=histogram)


def filled(*scrapes: tuple[float, float, float]) -> tuple[float, ...]:
    """The prompts' buckets after these scrapes."""
    shape = LengthShape()
    for cumulative in scrapes:
        shape.update(sample(*cumulative))
    assert shape.prompt is not None
    return shape.prompt.counts


def test_a_bucket_fills_by_what_came_since_the_scrape_before() -> None:
    """Four more in all: one short, three of middling length."""
    assert filled((5, 6, 6), (6, 10, 10)) == pytest.approx((1.0, 3.0, 0.0))


def test_a_bucket_that_seems_to_lose_requests_is_left_as_it_is() -> None:
    """A torn scrape has a later bucket below an earlier one: nobody is taken back."""
    assert filled((5, 6, 6), (8, 7, 10)) == pytest.approx((3.0, 0.0, 3.0))
