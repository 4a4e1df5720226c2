"""An engine's parts: to ask them changes nothing, and each has the same few ways to learn."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.interval import Cause
from kvwatch.core.options import CoreOptions
from kvwatch.facts import RequestStarted
from kvwatch.views import EngineView
from tests.core.synthetic import TARGET, SyntheticEngine, Watch, poisson

STABILITY = {"congestion_growth_ratio", "congestion_spectral_radius"}
"""Cost tens of milliseconds, so that they are as old as the first view of the last five minutes that showed them."""


def watched(seconds: float, asked: bool) -> Watch:
    """An engine in overload with a log, of which a view and the state are asked after every scrape, or never."""
    engine = SyntheticEngine(poisson(12, seconds, seed=5), seats=8)
    watch, told = Watch(engine, log_requests=True), 0
    for at in watch.seconds(seconds):
        while told < len(engine.asks) and engine.asks[told].at <= at:
            watch.fleet.observe(TARGET, RequestStarted(engine.asks[told].at))
            told += 1
        if asked:
            watch.view()
            watch.fleet.dump()
    return watch


def test_to_ask_changes_nothing() -> None:
    """Whoever looks after every scrape sees in the end what one sees who looks once, and the same state is kept."""
    often, once = watched(200, asked=True), watched(200, asked=False)
    for field in fields(EngineView):
        if field.name not in STABILITY:
            assert getattr(often.view(), field.name) == getattr(once.view(), field.name), field.name
    assert json.dumps(often.fleet.dump()) == json.dumps(once.fleet.dump())


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
