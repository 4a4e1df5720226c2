"""A plan for an engine that was recorded: the live estimates' own rate, and latencies as the real server had them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.embedded.latency_curve import SHARES, Slo, latency_at
from kvwatch.planning.engine import PlannedEngine
from kvwatch.planning.measured import measured_engine
from kvwatch.planning.plan import Plan, Studied, Wanted, planned, study
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.views import EngineView
from tests.shell.conftest import DATA

SETTLED_SECONDS = 60.0
"""Into a phase, when the last minute's latencies are all of it [s]."""


@dataclass(frozen=True)
class Seen:
    """A phase of constant load: what came, and the latencies that the server's own histograms had [s]."""

    rate: float
    seconds: Mapping[str, float]


@cache
def recorded(name: str) -> tuple[PlannedEngine, EngineView, tuple[Seen, ...]]:
    """The engine of a recording as it is known at its end, and its phases."""
    folder = DATA / "recordings" / name
    phases: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text())["phases"]
    fleets: list[Fleet] = []
    views: list[tuple[float, EngineView]] = []
    for view in replay(Recording(folder, pytest.fail), made=fleets.append):
        views += [(view.at, engine) for target in view.targets for engine in target.engines]
    seen = []
    for phase in phases:
        within = [engine for at, engine in views if phase["start"] + SETTLED_SECONDS <= at <= phase["end"]]
        if phase["kind"] == "const" and within:
            seen.append(Seen(next(iter(within[-1].arrival_rate.value.values())), within[-1].observed_latency_seconds))
    last = views[-1][1]
    ((_, _, inputs),) = fleets[0].full_engines()
    return measured_engine(inputs, last), last, tuple(seen)


@cache
def studied(name: str) -> Studied:
    """A recorded engine, studied for all plans."""
    return study(recorded(name)[0])


def plan(name: str, rate: float, slo: Slo) -> Plan:
    """A plan for a recorded engine."""
    return planned(studied(name), Wanted((rate,), slo=slo))


@pytest.mark.long
@pytest.mark.parametrize("name", ["chat", "homog"])
def test_a_plan_has_the_rate_of_the_live_estimates(name: str) -> None:
    """One answer: what the gauge says one replica sustains, with the same interval."""
    _, view, _ = recorded(name)
    made = plan(name, 10.0, Slo())
    said = view.service_rate
    assert (made.service_rate, made.lower, made.upper) == pytest.approx((said.value, said.lower, said.upper))


@pytest.mark.parametrize("name", ["chat", "homog"])
@pytest.mark.parametrize("phase", [0, 1, 2])
def test_the_median_latencies_are_those_of_the_real_server(name: str, phase: int) -> None:
    """To the first token and between two, at a quarter, half and three quarters of the load: within 30%.

    The server's are read off a histogram, whose buckets double about twice a decade; 95th percentiles of some dozen
    requests scatter more than that.
    """
    engine, view, seen = recorded(name)
    assert view.service_rate.value is not None
    one = seen[phase]
    at = latency_at(engine.loaded(engine.full()), one.rate / view.service_rate.value)
    middle = SHARES.index(0.5)
    assert at.first_token_seconds[middle] == pytest.approx(one.seconds["ttft/0.5"], rel=0.3)
    assert at.between_seconds[middle] == pytest.approx(one.seconds["itl/0.5"], rel=0.3)


def test_replicas_are_the_ceiling_of_load_over_what_one_may_take() -> None:
    """With a number for each end of the interval: the surer one is of what one sustains, the nearer they are."""
    made = plan("chat", 10.0, Slo())
    (asked,) = made.replicas
    assert asked.number == -(-10.0 // (0.8 * made.service_rate))
    assert asked.upper == -(-10.0 // (0.8 * made.lower))
    assert asked.lower == -(-10.0 // (0.8 * made.upper))
    assert not made.limited_by_latency


def test_a_target_of_latency_takes_more_replicas_and_one_that_is_out_of_reach_none() -> None:
    """It is held at the highest load whose 95th percentile keeps to it."""
    made = plan("chat", 100.0, Slo())
    high = SHARES.index(0.95)
    bound = next(p for p in made.curve if p.load == 0.7).first_token_seconds[high] * 1.001
    tight = plan("chat", 100.0, Slo(first_token_seconds=bound))
    assert tight.load == pytest.approx(0.7, abs=0.01)
    assert tight.limited_by_latency
    assert (tight.replicas[0].number or 0) > (made.replicas[0].number or 0)
    (none,) = plan("chat", 100.0, Slo(first_token_seconds=1e-3)).replicas
    assert none.number is None


def test_waiting_rises_with_the_load_and_most_near_the_limit() -> None:
    """The curve that a target is read off."""
    waits = [p.wait_seconds[SHARES.index(0.95)] for p in plan("chat", 10.0, Slo()).curve]
    assert waits == sorted(waits)
    assert waits[-1] > 5 * waits[0]


def test_what_is_advised_helps_and_what_is_feared_hurts() -> None:
    """Changes gain, sensitivities lose, each beyond a run's own noise."""
    made = plan("chat", 10.0, Slo())
    assert made.changes
    assert all(change.gain_ratio >= 0.02 for change in made.changes)
    assert {"outputs a fifth longer", "steps a tenth longer"} <= {c.words for c in made.sensitivities}
    slower = next(c for c in made.sensitivities if c.words == "steps a tenth longer")
    assert slower.gain_ratio == pytest.approx(1 / 1.1 - 1, abs=1e-6)
