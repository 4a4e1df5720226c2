"""Latency as it is predicted while a real server is watched, against what its own histograms show."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import inf

import pytest

from kvwatch.core.options import CoreOptions
from kvwatch.embedded.latency_curve import Slo
from kvwatch.estimate import Reason
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.views import EngineView
from tests.shell.conftest import DATA

EDGES = {
    "ttft": (0.0, 0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, inf),
    "itl": (0.0, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, inf),
}
"""Buckets of vLLM's histograms [s]. Data sheet: vLLM 0.32, v1/metrics/loggers.py."""
SETTLED_SECONDS = 60.0
"""Into a phase of constant load, when the last minute is all of it [s]."""


def bucket(key: str, seconds: float) -> tuple[float, float]:
    """The edges between which a quantile lies that was read off a histogram."""
    return next((low, high) for low, high in pairwise(EDGES[key.partition("/")[0]]) if seconds <= high)


@cache
def watched() -> tuple[tuple[float, EngineView], ...]:
    """A real vLLM on a CPU at a quarter, half and three quarters of its load, watched with a latency target."""
    options = replace(CoreOptions(), predicts_latency=True, slo=Slo(first_token_seconds=2.0))
    views = replay(Recording(DATA / "recordings" / "homog", pytest.fail), options)
    return tuple((view.at, engine) for view in views for target in view.targets for engine in target.engines)


@cache
def phases() -> list[tuple[EngineView, ...]]:
    """What is said in each phase, once it has settled."""
    truth = json.loads((DATA / "recordings" / "homog" / "truth.json").read_text())["phases"]
    spans = [(p["start"] + SETTLED_SECONDS, p["end"]) for p in truth if p["kind"] == "const"]
    return [tuple(engine for at, engine in watched() if start <= at <= end) for start, end in spans]


@pytest.mark.long
@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize("key", ["ttft/0.5", "ttft/0.95", "itl/0.5", "itl/0.95"])
def test_what_the_server_shows_lies_within_the_interval(phase: int, key: str) -> None:
    """In nine of ten moments, as far as the server shows it: it lies anywhere in a bucket of its histogram."""
    known = [
        view
        for view in phases()[phase]
        if view.latency_seconds.verdict is Reason.OK and key in view.observed_latency_seconds
    ]
    assert known
    within = []
    for view in known:
        low, high = bucket(key, view.observed_latency_seconds[key])
        said = view.latency_seconds
        within.append(said.lower[key] <= high and low <= said.upper.get(key, inf))
    assert sum(within) >= 0.9 * len(within)


def test_the_rate_that_meets_the_target_is_below_the_rate_that_the_server_sustains() -> None:
    """By as much as the utilization that replicas are sized for is below 1."""
    last = phases()[-1][-1]
    assert last.slo_service_rate.verdict is Reason.OK
    rate, mu = last.slo_service_rate.value["ttft"], last.service_rate.value
    assert mu is not None
    assert 0.5 * mu < rate < mu
    assert last.target_utilization == pytest.approx(min(0.8, rate / mu))
