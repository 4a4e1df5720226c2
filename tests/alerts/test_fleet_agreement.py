"""A sidecar beside every server and the recording rules say what one fleet process says, at every evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

from kvwatch.core.pool.replicas_required import REASONS
from kvwatch.estimate import Reason
from kvwatch.views import ModelView, TargetView
from tests.alerts.sidecars import (
    STEP_SECONDS,
    Course,
    check,
    doubted,
    engine,
    expectation,
    laden,
    replica,
    said_by_one_process,
    scrapes_of,
    sidecar_samples,
    target,
    unreadable,
    views_of,
)
from tests.core.recordings import incident

pytestmark = pytest.mark.prometheus
RECORDED = {
    "model:kvwatch_arrival_rate:avg5m": "model_arrival_rate",
    "model:kvwatch_service_rate:sum": "model_service_rate",
    "model:kvwatch_utilization:ratio5m": "model_utilization",
    "model:kvwatch_utilization:imbalance5m": "model_imbalance_ratio",
    "model:kvwatch_backlog_replicas:sum": "backlog_replicas",
    "model:kvwatch_replicas_required:hold5m": "replicas_required",
}
NUMBER, ADDED = "model:kvwatch_replicas_required:hold5m", "model:kvwatch_replicas_added:reason"
CLOSE = 1e-9
"""What two sums of the same numbers in another order differ by, relative to them."""

FLEETS = {
    "uneven": [target("a", 2.0), target("b", 2.0), target("c", 2.0), target("d", 4.0)],
    "busy": [target("a", 6.0), target("b", 7.0), target("c", 8.0), target("d", 9.0)],
    "nearly idle": [target("a", 0.5), target("b", 0.25)],
    "data parallel": [target("a", 6.0, 5.0), target("b", 7.0, 6.0), target("c", 8.0, 7.0)],
    "engines of unlike servers": [target("a", 6.0, 5.0, 4.0), target("b", 7.0)],
    "prefill and decode": [
        target("a", 7.0, role="prefill"),
        target("b", 3.0, 4.0, role="decode"),
        target("c", 4.0, 5.0, role="decode"),
    ],
}


@pytest.mark.parametrize("name", FLEETS)
def test_rules_over_sidecars_and_the_fleet_process_agree(tmp_path: Path, name: str) -> None:
    """λ, μ, ρ, imbalance and the replicas required are the same, by role and in servers."""
    evaluations = [FLEETS[name]] * 40
    models = said_by_one_process(evaluations)[-1]
    assert {model.role for model in models} == {view.role for view in FLEETS[name]}
    expected = []
    for recorded, field in RECORDED.items():
        samples = [(labels(recorded, model), number(model, field)) for model in models]
        expected.append(expectation(recorded, STEP_SECONDS * 39, *samples))
    check(tmp_path, scrapes_of(evaluations), expected)


def labels(recorded: str, model: ModelView) -> str:
    """A recorded series of a model, as promtool writes it."""
    role = f', role="{model.role}"' if model.role else ""
    return f'{recorded}{{model_name="llama"{role}}}'


def number(model: ModelView, field: str) -> float:
    """A number of the model, which must be known."""
    value: float | None = getattr(model, field)
    assert value is not None
    return value


def test_a_fleet_counts_a_request_once_and_is_as_fast_as_its_slower_pool(tmp_path: Path) -> None:
    """Where prefill and decode are apart, both have the model's λ; the fleet's sums take it once."""
    expected = [
        expectation("fleet:kvwatch_arrival_rate:sum5m", 540, ("fleet:kvwatch_arrival_rate:sum5m{}", 16.0)),
        expectation("fleet:kvwatch_service_rate:sum", 540, ("fleet:kvwatch_service_rate:sum{}", 8.0)),
    ]
    check(tmp_path, scrapes_of([FLEETS["prefill and decode"]] * 40), expected)


COMES, LEAVES = 900, 1800


def spread(now: float) -> float:
    """λ of each replica where 20 requests/s go to five of them between COMES and LEAVES, else to four."""
    return 4.0 if COMES <= now < LEAVES else 5.0


def ramp(begin: float, seconds: float, low: float, high: float) -> Callable[[float], float]:
    """λ that goes from ``low`` to ``high``."""
    return lambda now: low + (high - low) * min(max((now - begin) / seconds, 0.0), 1.0)


def step(begin: float, end: float, low: float, high: float) -> Callable[[float], float]:
    """λ that is ``high`` between two times."""
    return lambda now: high if begin <= now < end else low


def restarting(name: str, rate: Callable[[float], float], every: float) -> Course:
    """A server that starts anew every so many seconds and takes 30 s to be back."""

    def at(now: float) -> TargetView | None:
        if now < 900:
            return replica(name, rate)(now)
        since = now - (now - 900) % every
        if now - since < 30:
            return TargetView(name, False, now - since, None, withheld=("llama",))
        return replica(name, rate, begin=since + 30)(now)

    return at


@cache
def incident_views() -> tuple[TargetView, ...]:
    """The recorded incident, as kvwatch sees that server every 15 s."""
    return tuple(view for _, view in incident(STEP_SECONDS, model_name="llama"))


def recorded(now: float) -> TargetView | None:
    """That server at a time, quiet again after the end of the recording."""
    views = incident_views()
    return views[min(int(now // STEP_SECONDS), len(views) - 1)]


def burst(now: float) -> tuple[float, float]:
    """Three hundred requests that wait at 900 s, of which half a request is served a second."""
    waiting = max(300.0 - (now - 900) / 2, 0.0) if now >= 900 else 0.0
    return (16.0 if waiting else 0.0), waiting


COURSES: dict[str, tuple[list[Course], int]] = {
    "a replica comes and goes": (
        [
            *(replica(f"pod-{n}", spread) for n in range(4)),
            replica("pod-4", lambda now: 4.0 if COMES <= now < LEAVES else 0.0, COMES, LEAVES),
        ],
        2700,
    ),
    "a ramp of 20 minutes": ([replica(f"pod-{n}", ramp(900, 1200, 2.0, 7.5)) for n in range(3)], 3300),
    "a ramp of an hour": ([replica(f"pod-{n}", ramp(600, 3600, 1.0, 9.0)) for n in range(2)], 4800),
    "a ramp down": ([replica(f"pod-{n}", ramp(900, 1200, 7.5, 0.5)) for n in range(3)], 3600),
    "a step up and down": ([replica(f"pod-{n}", step(900, 2100, 3.0, 11.5)) for n in range(3)], 3600),
    "a step to nothing": (
        [laden(replica(f"pod-{n}", step(0, 900, 0.0, 7.0)), burst) for n in range(2)],
        2700,
    ),
    "an engine that crashes again and again": (
        [*(replica(f"pod-{n}", step(0, 1200, 1.0, 5.0)) for n in range(3)), restarting("loop", lambda _: 3.0, 210.0)],
        4200,
    ),
    "servers that restart one after another": (
        [restarting(f"pod-{n}", step(0, 1500, 2.0, 6.0), 600.0 + 150 * n) for n in range(4)],
        3900,
    ),
    "half of the servers out of sight": (
        [
            *(replica(f"pod-{n}", lambda _: 5.0) for n in range(2)),
            *(unreadable(replica(f"dark-{n}", lambda _: 5.0), 900, 1380) for n in range(2)),
        ],
        2400,
    ),
    "most of the servers out of sight for long": (
        [
            replica("pod", step(0, 900, 0.5, 5.0)),
            *(unreadable(replica(f"dark-{n}", lambda _: 5.0), 900, 3000) for n in range(3)),
        ],
        3900,
    ),
    "doubts that size, and doubts that do not": (
        [
            *(
                doubted(replica(f"a-{n}", step(0, 900, 2.0, 6.0)), 900, 1500, Reason.OCCUPANCY_DISAGREES)
                for n in (0, 1)
            ),
            *(
                doubted(replica(f"b-{n}", step(0, 900, 2.0, 6.0)), 600, 2400, Reason.CAPACITY_REFUTED)
                for n in (0, 1, 2)
            ),
        ],
        3600,
    ),
    "the recorded incident": ([recorded, replica("pod", lambda _: 2.0)], 1800),
}


@pytest.mark.parametrize("name", COURSES)
def test_the_number_and_its_reasons_are_the_same_at_every_evaluation(tmp_path: Path, name: str) -> None:
    """Number, reasons, backlog and λ of sidecars' rules are the fleet process's, and absent where it has none."""
    courses, seconds = COURSES[name]
    evaluations = views_of(courses, seconds)
    expected = []
    for place, models in enumerate(said_by_one_process(evaluations)):
        (model,) = models
        expected += agreeing(STEP_SECONDS * place, model)
    check(tmp_path, scrapes_of(evaluations), expected)


def agreeing(at: float, model: ModelView) -> list[dict[str, object]]:
    """What Prometheus must say at a time for what the process says of a model."""
    name = '{model_name="llama"}'
    found = [same(NUMBER, at, model.replicas_required, name)]
    found += [same("model:kvwatch_backlog_replicas:sum", at, model.backlog_replicas, name)]
    found += [same("model:kvwatch_arrival_rate:avg5m", at, model.model_arrival_rate, name)]
    for reason in REASONS:
        series = f'{ADDED}{{reason="{reason}"}}'
        found.append(same(series, at, model.replicas_added.get(reason), f'{{model_name="llama", reason="{reason}"}}'))
    return found


def same(series: str, at: float, value: float | None, shown: str) -> dict[str, object]:
    """That a series has this value, to the rounding of sums, or is not there."""
    if value is None:
        return expectation(series, at)
    room = CLOSE * max(abs(value), 1.0)
    return expectation(f"abs({series} - {value!r}) < bool {room!r}", at, (shown, 1.0))


def run(courses: Sequence[Course], seconds: int) -> dict[int, float | None]:
    """The fleet process's number by time [s]."""
    found = said_by_one_process(views_of(courses, seconds))
    return {STEP_SECONDS * place: models[0].replicas_required for place, models in enumerate(found)}


def test_a_process_that_sees_all_is_taken_at_its_word(tmp_path: Path) -> None:
    """Its own number is the rules', also where it has none, and its reasons are theirs."""
    view = target("a", 16.0)
    models = (ModelView("llama", "", 7.0, replicas_added={"trend": 2.0}, model_engines={"serving": 1.0}),)
    silent = (ModelView("llama", "", model_engines={"serving": 1.0}),)
    scrapes = [sidecar_samples(view, models)] * 30 + [sidecar_samples(view, silent)] * 30
    expected = [
        expectation(NUMBER, 400, (f'{NUMBER}{{model_name="llama"}}', 7.0)),
        expectation(ADDED, 400, (f'{ADDED}{{model_name="llama", reason="trend"}}', 2.0)),
        expectation(NUMBER, 850),
        expectation(ADDED, 850),
    ]
    check(tmp_path, scrapes, expected)


def test_one_of_several_sidecars_that_is_left_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """Two sidecars add up what they see; one goes, and the other's own number is not the model's."""
    views = [target("a", 6.0), target("b", 6.0)]
    own = (ModelView("llama", "", 1.0, model_engines={"serving": 1.0}),)
    both = sidecar_samples(views[0], own) | sidecar_samples(views[1], own)
    alone = sidecar_samples(views[0], own) | {'up{job="kvwatch", instance="b"}': 0.0}
    expected = [expectation(NUMBER, at, (f'{NUMBER}{{model_name="llama"}}', 2.0)) for at in (600, 900, 1125)]
    check(tmp_path, [both] * 50 + [alone] * 30, expected)


def test_a_prometheus_that_has_just_started_waits_for_all_sidecars(tmp_path: Path) -> None:
    """Half of eight are scraped in the first minute: there is no number for those alone."""
    views = [target(f"pod-{n}", 5.0) for n in range(8)]
    evaluations = [views[:4]] * 4 + [views] * 20
    numbers = [
        expectation(NUMBER, STEP_SECONDS * place, *(() if place < 4 else ((f'{NUMBER}{{model_name="llama"}}', 7.0),)))
        for place in range(24)
    ]
    check(tmp_path, scrapes_of(evaluations), numbers)


def test_an_engine_that_never_has_a_rate_is_no_majority(tmp_path: Path) -> None:
    """Of five engines one is mute for ever: the number is what the four need, and follows them down."""
    mute = TargetView("mute", True, 0.5, 0.01, (engine("mute", 0, {}),))
    evaluations = [[mute, *(target(f"pod-{n}", 5.0) for n in range(4))]] * 40
    evaluations += [[mute, *(target(f"pod-{n}", 1.0) for n in range(4))]] * 60
    said = [models[0].replicas_required for models in said_by_one_process(evaluations)]
    assert said[39] == 4.0
    assert said[-1] == 1.0
    expected = [same(NUMBER, STEP_SECONDS * place, value, '{model_name="llama"}') for place, value in enumerate(said)]
    check(tmp_path, scrapes_of(evaluations), expected)


def test_zero_is_no_negative_zero(tmp_path: Path) -> None:
    """An idle fleet needs +0 replicas, by which an autoscaler may divide."""
    evaluations = [[target("a", 0.0), target("b", 0.0)]] * 40
    expected = [expectation(f"1 / {NUMBER} > 0", 540, ('{model_name="llama"}', math.inf))]
    check(tmp_path, scrapes_of(evaluations), expected)
