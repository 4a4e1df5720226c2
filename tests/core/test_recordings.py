"""What kvwatch says of four runs of a real vLLM, at the end of each phase of steady load, against what happened."""

from __future__ import annotations

from functools import cache

import pytest

from kvwatch.views import EngineView
from tests.core.recordings import NAMES, Phase, Recording, load, replay

PHASES = {
    "ramp11": ("sat",),
    "homog": ("sat", "const", "const", "const", "sat"),
    "chat": ("sat", "const", "const", "const", "sat"),
    "seqcap": ("sat", "const", "const", "const", "sat"),
}
"""Kinds of the steady phases, spelled out so that a test has a name without anything being read."""

ALL = [pytest.param(n, i, id=f"{n}-{i}-{k}") for n in NAMES for i, k in enumerate(PHASES[n])]
SATURATED = [pytest.param(n, i, id=f"{n}-{i}") for n in NAMES for i, k in enumerate(PHASES[n]) if k == "sat"]


@cache
def views(name: str) -> dict[float, EngineView]:
    """The engine at the end of each steady phase, from ``/metrics`` and settings alone."""
    recording = load(name)
    return replay(recording, [recording.last_scrape(p) for p in recording.steady])


@cache
def logged_views(name: str) -> dict[float, EngineView]:
    """The same with the request log, over the whole recording: each phase's window begins in the pause before it."""
    recording = load(name)
    times = [recording.last_scrape(p) for p in recording.steady]
    return replay(recording, times, recording.requests, full_engine=False)


def end_of(name: str, index: int) -> tuple[Recording, Phase, float, EngineView]:
    """A recording, one of its phases, the time of the phase's last scrape, and the view then."""
    recording = load(name)
    phase = recording.steady[index]
    assert phase.index == index
    at = recording.last_scrape(phase)
    return recording, phase, at, views(name)[at]


@pytest.mark.parametrize("name", NAMES)
def test_every_line_of_a_recording_is_read(name: str) -> None:
    """The phases are those that the other tests are named after, and no scrape has a line that is not understood."""
    recording = load(name)
    assert tuple(p.kind for p in recording.steady) == PHASES[name]
    assert sum(s.bad_lines for s in recording.scrapes) == 0
    assert all(len(s.engines) == 1 for s in recording.scrapes)


@pytest.mark.parametrize(("name", "index"), ALL)
def test_arrivals_of_the_last_minute_are_within_three_percent(name: str, index: int) -> None:
    """λ over 1m against the arrivals that the load generator wrote down, in overload as well as below it."""
    recording, _, at, view = end_of(name, index)
    arrivals = sum(at - 60 < r.arrival <= at for r in recording.requests)
    assert view.arrival_rate.value["1m"] == pytest.approx(arrivals / 60, rel=0.03)
    assert view.estimate_valid["arrival_rate_1m"].valid


@pytest.mark.parametrize(("name", "index"), ALL)
def test_arrivals_over_a_window_with_the_mass_abort_are_absent_and_say_why(name: str, index: int) -> None:
    """5m is unknown until it is full, and while the drop of all waiting requests lies in it."""
    recording, _, at, view = end_of(name, index)
    verdict = view.estimate_valid["arrival_rate_5m"]
    if any(at - 300 < abort < at for abort in recording.aborts()):
        assert (verdict.valid, verdict.reason) == (False, "aborts")
    elif at - recording.scrapes[0].at < 300:
        assert (verdict.valid, verdict.reason) == (False, "warming_up")
    else:
        arrivals = sum(at - 300 < r.arrival <= at for r in recording.requests)
        assert verdict.valid
        assert view.arrival_rate.value["5m"] == pytest.approx(arrivals / 300, rel=0.03)
        return
    assert "5m" not in view.arrival_rate.value
    assert "5m" not in view.utilization.value


@pytest.mark.parametrize(("name", "index"), ALL)
def test_memory_work_by_moments_is_within_eighteen_percent(name: str, index: int) -> None:
    """E[g] from plain metrics against the block-counted mean of the requests that finished in the phase."""
    recording, phase, _, view = end_of(name, index)
    assert view.request_demand_token_steps.value["moments"] == pytest.approx(recording.mean_demand(phase), rel=0.18)


@pytest.mark.parametrize(("name", "index"), ALL)
def test_memory_work_by_request_log_is_that_of_the_requests_in_the_window(name: str, index: int) -> None:
    """E[g] where the log of the phase is given too, and nothing shows when the engine was empty."""
    recording, phase, at, _ = end_of(name, index)
    only = recording.cut(phase)
    view = replay(only, [at], only.requests, full_engine=False)[at]
    assert view.request_demand_token_steps.value["joint"] == pytest.approx(recording.mean_demand(phase), rel=0.02)


@pytest.mark.parametrize(("name", "index"), ALL)
def test_memory_work_by_request_log_is_within_four_percent_of_what_was_asked(name: str, index: int) -> None:
    """E[g] after a pause, against all that came in the phase: those that have finished are too short by up to 12%."""
    recording, phase, at, _ = end_of(name, index)
    asked = recording.mean_demand_asked(phase)
    assert logged_views(name)[at].request_demand_token_steps.value["joint"] == pytest.approx(asked, rel=0.04)


@pytest.mark.parametrize(("name", "index"), ALL)
def test_kv_capacity_is_exact(name: str, index: int) -> None:
    """M is what the server said that it had, less the null block."""
    recording, _, _, view = end_of(name, index)
    assert view.kv_capacity_tokens.value == recording.kv_capacity_tokens
    assert view.estimate_valid["kv_capacity_tokens"].valid


@pytest.mark.parametrize(("name", "index"), SATURATED)
def test_at_saturation_the_service_rate_is_within_ten_percent_of_what_was_served(name: str, index: int) -> None:
    """μ against the phase's own rate, generated tokens over mean output from 20 s on."""
    _, phase, _, view = end_of(name, index)
    assert phase.service_rate is not None
    assert view.service_rate.value == pytest.approx(phase.service_rate, rel=0.10)
    assert view.observed_service_rate == pytest.approx(phase.service_rate, rel=0.10)


@pytest.mark.parametrize("name", NAMES)
def test_at_saturation_the_limit_that_binds_is_named(name: str) -> None:
    """Seats where there are twelve of them, memory elsewhere."""
    recording = load(name)
    for index, phase in enumerate(recording.steady):
        if phase.kind == "sat":
            _, _, _, view = end_of(name, index)
            assert view.binding_limit == {"seqs" if name == "seqcap" else "kv": 1.0}
            assert view.utilization.value["1m"] > 1
