"""An engine's parts: each has the same few ways to learn."""

from __future__ import annotations

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.options import CoreOptions
from tests.core.synthetic import SyntheticEngine


@pytest.mark.parametrize("cause", list(Cause))
def test_every_part_takes_intervals_and_begins_again(cause: Cause) -> None:
    """Whatever broke the chain, also before there was anything."""
    engine = EngineEstimator(CoreOptions())
    sample = SyntheticEngine([]).sample()
    for at in (1.0, 2.0):
        for part in engine._parts:
            part.begin_anew(cause)
        engine.observe(at, sample, 1)
    assert engine.last is not None
    assert engine.last.goes_on
