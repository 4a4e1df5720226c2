"""A sidecar beside every server and the recording rules say what one fleet process says."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.core.options import CoreOptions
from kvwatch.core.pool.fleet_model import FleetModel
from kvwatch.estimate import Estimate, KeyedEstimate, Reason
from kvwatch.export.exposition import Exposition
from kvwatch.views import EngineView, FleetView, ModelView, TargetView

pytestmark = pytest.mark.prometheus
RULES = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
GROUPS = ("kvwatch-models.rules", "kvwatch-replicas.rules", "kvwatch-fleet.rules")
OPTIONS = CoreOptions()
RECORDED = {
    "model:kvwatch_arrival_rate:sum5m": "model_arrival_rate",
    "model:kvwatch_service_rate:sum": "model_service_rate",
    "model:kvwatch_utilization:ratio5m": "model_utilization",
    "model:kvwatch_utilization:imbalance5m": "model_imbalance_ratio",
    "model:kvwatch_replicas_required:ceil5m": "replicas_required",
    "model:kvwatch_replicas_required:hold5m": "replicas_required",
}
STEP_SECONDS = 15
SERVICE_RATE = 8.0
"""Requests/s of an engine; exact in binary, as are the arrival rates."""

Course = Callable[[float], TargetView | None]
"""A server at a time [s]; ``None`` while it is not there."""


def engine(name: str, number: int, means: dict[str, float], age: float = 3600.0, noise: float = 0.0) -> EngineView:
    """An engine with these means of λ by window, each known to ± ``noise`` requests/s at 90%."""
    return EngineView(
        name,
        "llama",
        str(number),
        arrival_rate=KeyedEstimate(
            means,
            {window: rate - noise for window, rate in means.items()},
            {window: rate + noise for window, rate in means.items()},
        ),
        service_rate=Estimate(SERVICE_RATE),
        utilization=KeyedEstimate({window: rate / SERVICE_RATE for window, rate in means.items()}, verdict=Reason.OK),
        queue_length=0.0,
        target_utilization=OPTIONS.target_utilization,
        scale_up_seconds=OPTIONS.scale_up_seconds,
        engine_age_seconds=age,
    )


def target(name: str, *arrivals: float, role: str = "") -> TargetView:
    """A server that has been watched for an hour, with an engine for each λ."""
    engines = (engine(name, number, {"1m": rate, "5m": rate}) for number, rate in enumerate(arrivals))
    return TargetView(name, True, 0.5, 0.01, tuple(engines), role=role)


def sidecar_samples(view: TargetView) -> dict[str, float]:
    """What a Prometheus has that scrapes a kvwatch beside this server: each pod's kvwatch calls it localhost."""
    exposition = Exposition(lambda: FleetView(0.0, (view,)))
    samples = {f'up{{job="kvwatch", instance="{view.target}"}}': 1.0}
    for family in text_string_to_metric_families(exposition.text()[0].decode()):
        for sample in family.samples:
            labels = {**sample.labels, "target": "localhost:8000", "instance": view.target, "job": "kvwatch"}
            shown = ", ".join(f'{key}="{value}"' for key, value in labels.items())
            samples[f"{sample.name}{{{shown}}}"] = sample.value
    return samples


def input_series(scrapes: Sequence[dict[str, float]]) -> list[dict[str, str]]:
    """Samples scrape by scrape as promtool takes them; a series that ends is stale at once, as Prometheus has it."""
    names = dict.fromkeys(name for scrape in scrapes for name in scrape)
    return [
        {"series": name, "values": " ".join(repr(scrape[name]) if name in scrape else "stale" for scrape in scrapes)}
        for name in names
    ]


def check(folder: Path, scrapes: Sequence[dict[str, float]], expected: list[dict[str, object]]) -> None:
    """Have promtool run the rules over the scrapes, one every 15 seconds, and compare; trends have no part in it."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the PATH")
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    rules["groups"] = [group for group in rules["groups"] if group["name"] in GROUPS]
    (folder / RULES.name).write_text(yaml.safe_dump(rules), encoding="utf-8")
    case = {
        "rule_files": [RULES.name],
        "evaluation_interval": f"{STEP_SECONDS}s",
        "group_eval_order": [group["name"] for group in rules["groups"]],
        "tests": [
            {
                "interval": f"{STEP_SECONDS}s",
                "input_series": input_series(scrapes),
                "promql_expr_test": expected,
            }
        ],
    }
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump(case, width=10**6), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expectation(expression: str, at: float, *samples: tuple[str, float]) -> dict[str, object]:
    """That an expression has these samples, by labels, at a time, and no others."""
    shown = [{"labels": labels, "value": value} for labels, value in samples]
    return {"expr": expression, "eval_time": f"{at:.0f}s", "exp_samples": shown}


FLEETS = {
    "one": [target("a", 16.0)],
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
    """λ, μ, ρ, imbalance and the replicas required are the same to the digit, by role and in servers."""
    targets = FLEETS[name]
    models = FleetModel(OPTIONS).update(0.0, targets)
    assert {model.role for model in models} == {view.role for view in targets}
    expected = []
    for recorded, field in RECORDED.items():
        samples = [(labels(recorded, model), number(model, field)) for model in models]
        expected.append(expectation(recorded, 540, *samples))
    scrape: dict[str, float] = {}
    for view in targets:
        scrape |= sidecar_samples(view)
    check(tmp_path, [scrape] * 40, expected)


def labels(recorded: str, model: ModelView) -> str:
    """A recorded series of a model, as promtool writes it."""
    role = f', role="{model.role}"' if model.role else ""
    return f'{recorded}{{model_name="llama"{role}}}'


def test_a_fleet_counts_a_request_once_and_is_as_fast_as_its_slower_pool(tmp_path: Path) -> None:
    """Where prefill and decode are apart, both have the model's λ; the fleet's sums take it once."""
    scrape: dict[str, float] = {}
    for view in FLEETS["prefill and decode"]:
        scrape |= sidecar_samples(view)
    expected = [
        expectation("fleet:kvwatch_arrival_rate:sum5m", 540, ("fleet:kvwatch_arrival_rate:sum5m{}", 16.0)),
        expectation("fleet:kvwatch_service_rate:sum", 540, ("fleet:kvwatch_service_rate:sum{}", 8.0)),
    ]
    check(tmp_path, [scrape] * 40, expected)


def mean(rate: Callable[[float], float], now: float, window: float) -> float:
    """Mean of a rate over the window before ``now`` [s], to a second."""
    return math.fsum(rate(now - second) for second in range(int(window))) / window


def replica(name: str, rate: Callable[[float], float], begin: float = -3600.0, end: float = math.inf) -> Course:
    """A server with one engine whose λ at each time is ``rate``, which lives from ``begin`` to ``end`` [s]."""

    def at(now: float) -> TargetView | None:
        if not begin <= now < end:
            return None
        windows = {name: seconds for name, seconds in OPTIONS.windows_seconds.items() if now - begin >= seconds}
        means = {window: mean(rate, now, seconds) for window, seconds in windows.items()}
        return TargetView(name, True, 0.5, 0.01, (engine(name, 0, means, now - begin, noise=0.1),))

    return at


def scrapes_of(courses: Sequence[Course], seconds: int) -> list[dict[str, float]]:
    """What Prometheus has of the sidecars at each scrape."""
    found = []
    for now in range(0, seconds, STEP_SECONDS):
        views = [course(float(now)) for course in courses]
        found.append({key: value for view in views if view for key, value in sidecar_samples(view).items()})
    return found


COMES, LEAVES = 900, 1800


def spread(now: float) -> float:
    """λ of each replica where 20 requests/s go to five of them between COMES and LEAVES, else to four."""
    return 4.0 if COMES <= now < LEAVES else 5.0


def test_replicas_that_come_and_go_do_not_change_what_is_needed(tmp_path: Path) -> None:
    """The same traffic over one server more, and one less again, needs what it did: 20 / (8 × 0.8) is 3.1, that is 4.

    The fleet process says the same throughout.
    """
    courses = [replica(f"pod-{n}", spread) for n in range(4)]
    courses.append(replica("pod-4", lambda now: 4.0 if COMES <= now < LEAVES else 0.0, COMES, LEAVES))
    model = FleetModel(OPTIONS)
    for now in range(0, 2700, STEP_SECONDS):
        (view,) = model.update(now, [view for view in (course(float(now)) for course in courses) if view])
        assert view.replicas_required == 4.0
    expected = [
        expectation(recorded, at, (f'{recorded}{{model_name="llama"}}', 4.0))
        for recorded in ("model:kvwatch_replicas_required:ceil5m", "model:kvwatch_replicas_required:hold5m")
        for at in range(600, 2700, STEP_SECONDS)
    ]
    check(tmp_path, scrapes_of(courses, 2700), expected)


def held(seconds: float, value: float) -> dict[str, object]:
    """That autoscalers are told this number at a time."""
    name = "model:kvwatch_replicas_required:hold5m"
    return expectation(name, seconds, (f'{name}{{model_name="llama"}}', value))


def test_the_number_falls_late_and_rises_at_once(tmp_path: Path) -> None:
    """λ falls to 2/5 at 900 s: a number goes when a smaller one has been enough for five minutes; with λ it is back."""

    def rate(now: float) -> float:
        return 2.0 if 900 <= now < 2400 else 5.0

    courses = [replica(f"pod-{n}", rate) for n in range(4)]
    # The mean over five minutes is down by 1260 s; 3 is enough, with a tenth to spare, from about 1010 s on. In the end
    # it takes 8 / 6.4 = 1.25, with a tenth to spare 1.4, that is 2.
    expected = [held(at, 4.0) for at in range(600, 1300, 60)]
    expected += [held(at, 2.0) for at in range(1620, 2400, 60)]
    expected += [held(at, 4.0) for at in range(2760, 3000, 60)]
    check(tmp_path, scrapes_of(courses, 3000), expected)


def test_noise_across_a_threshold_does_not_change_the_number(tmp_path: Path) -> None:
    """A need that swings between 3.9 and 4.1 every ten minutes is 5 all the time, once it has been."""

    def rate(now: float) -> float:
        return (4.1 if now % 1200 < 600 else 3.9) * 6.4 / 4

    courses = [replica(f"pod-{n}", rate) for n in range(4)]
    plain = "model:kvwatch_replicas_required:ceil5m"
    expected = [held(at, 5.0) for at in range(600, 3600, 60)]
    expected += [expectation(plain, at, (f'{plain}{{model_name="llama"}}', 4.0)) for at in (1140, 2340)]
    check(tmp_path, scrapes_of(courses, 3600), expected)


@pytest.mark.parametrize("cause", ["the server", "the sidecar"])
def test_the_number_does_not_fall_because_something_is_not_known(tmp_path: Path, cause: str) -> None:
    """Half of the engines are out of sight for eight minutes; the traffic of the others would need half as many."""
    courses = [replica(f"pod-{n}", lambda _: 5.0) for n in range(4)]
    scrapes = scrapes_of(courses, 1800)
    for place in range(900 // STEP_SECONDS, 1380 // STEP_SECONDS):
        for lost in ("pod-0", "pod-1"):
            gone = TargetView(lost, False, 480.0, None)
            scrapes[place] = {key: value for key, value in scrapes[place].items() if f'instance="{lost}"' not in key}
            if cause == "the server":
                scrapes[place] |= sidecar_samples(gone)
            else:
                scrapes[place] |= {f'up{{job="kvwatch", instance="{lost}"}}': 0.0}
    check(tmp_path, scrapes, [held(at, 4.0) for at in range(600, 1800, STEP_SECONDS)])


def test_engines_that_are_up_and_not_counted_yet_keep_the_number_up(tmp_path: Path) -> None:
    """Six of eight answer, and for twelve minutes have no numbers: theirs is most of the traffic."""
    courses = [replica(f"pod-{n}", lambda _: 5.0) for n in range(8)]
    scrapes = scrapes_of(courses, 2400)
    for place in range(900 // STEP_SECONDS, 1620 // STEP_SECONDS):
        for number in range(6):
            mute = TargetView(f"pod-{number}", True, 0.5, 0.01)
            own = f'instance="pod-{number}"'
            scrapes[place] = {k: v for k, v in scrapes[place].items() if own not in k} | sidecar_samples(mute)
    check(tmp_path, scrapes, [held(at, 7.0) for at in range(600, 2400, STEP_SECONDS)])


def laden(course: Course, begin: float, running: float, waiting: float) -> Course:
    """The same server, in which from ``begin`` [s] on so many requests run and wait."""

    def at(now: float) -> TargetView | None:
        view = course(now)
        if view is None or now < begin:
            return view
        (inside,) = view.engines
        return replace(view, engines=(replace(inside, running_requests=running, queue_length=waiting),))

    return at


@pytest.mark.parametrize(
    ("running", "waiting", "needed"),
    [(16.0, 500.0, 5.0), (2.0, 1.0, 1.0), (9.0, 0.0, 1.0), (0.0, 0.0, 0.0)],
    ids=["a backlog", "some that wait", "long generations", "nothing"],
)
def test_what_is_inside_is_need(tmp_path: Path, running: float, waiting: float, needed: float) -> None:
    """Nothing arrives after 900 s. While as many wait as run the number stands, and no work is left without a server.

    Zero is no negative zero.
    """
    courses = [
        laden(replica(f"pod-{n}", lambda now: 7.0 if now < 900 else 0.0), 900, running, waiting) for n in range(4)
    ]
    expected = [held(at, 5.0) for at in range(600, 900, 60)]
    expected += [held(at, needed) for at in range(1800, 2700, 60)]
    if needed == 0:
        expected.append(
            expectation("1 / model:kvwatch_replicas_required:hold5m > 0", 2400, ('{model_name="llama"}', math.inf))
        )
    check(tmp_path, scrapes_of(courses, 2700), expected)


def together(*views: TargetView) -> dict[str, float]:
    """What Prometheus has of these servers at a scrape."""
    return {key: value for view in views for key, value in sidecar_samples(view).items()}


@pytest.mark.parametrize("gap", [0, 1500], ids=["restarted empty", "after a gap"])
def test_a_prometheus_that_sees_half_of_the_engines_first_gives_no_smaller_number(tmp_path: Path, gap: int) -> None:
    """40 requests/s need 7 of eight servers; those that are seen in the first minute alone would need 4."""
    views = [target(f"pod-{n}", 5.0) for n in range(8)]
    whole, half = together(*views), together(*views[:4])
    nothing: dict[str, float] = {}
    before = gap // STEP_SECONDS
    scrapes = [whole] * before + [nothing] * before + [half] * 4 + [whole] * 80
    name, start = "model:kvwatch_replicas_required:hold5m", 2 * gap
    expected = [held(at, 7.0) for at in range(600, gap, 60)]
    expected += [expectation(name, at) for at in range(start, start + 360, STEP_SECONDS)]
    expected += [held(at, 7.0) for at in range(start + 435, start + 1200, STEP_SECONDS)]
    check(tmp_path, scrapes, expected)


def test_after_a_short_gap_the_number_before_it_stands(tmp_path: Path) -> None:
    """A quarter of an hour without data: what was needed is still known when half of the engines are back."""
    views = [target(f"pod-{n}", 5.0) for n in range(8)]
    nothing: dict[str, float] = {}
    scrapes = [together(*views)] * 60 + [nothing] * 60 + [together(*views[:4])] * 4 + [together(*views)] * 80
    expected = [held(at, 7.0) for at in [*range(600, 900, 60), *range(1800, 3000, STEP_SECONDS)]]
    check(tmp_path, scrapes, expected)


def test_an_engine_that_never_has_a_rate_keeps_the_first_number_back_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    """Nothing is known of its traffic, and what the others need is told late and not never."""
    mute = TargetView("mute", True, 0.5, 0.01, (engine("mute", 0, {}),))
    scrape = together(mute, *(target(f"pod-{n}", 5.0) for n in range(4)))
    name = "model:kvwatch_replicas_required:hold5m"
    expected = [expectation(name, at) for at in range(0, 840, 60)]
    expected += [held(at, 4.0) for at in range(930, 1500, 60)]
    check(tmp_path, [scrape] * 100, expected)


def test_a_model_that_is_gone_has_no_number(tmp_path: Path) -> None:
    """Ten minutes after the last data there is none, so that nothing is scaled by a memory."""
    courses = [replica("pod-0", lambda _: 5.0, end=600.0)]
    expected = [held(900, 1.0), expectation("model:kvwatch_replicas_required:hold5m", 1500)]
    check(tmp_path, scrapes_of(courses, 1800), expected)


def number(model: ModelView, field: str) -> float:
    """A number of the model, which must be known."""
    value: float | None = getattr(model, field)
    assert value is not None
    return value
