"""A sidecar beside every server, as a Prometheus sees it, and one process that watches them all."""

from __future__ import annotations

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

RULES = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
GROUPS = ("kvwatch-models.rules", "kvwatch-fleet.rules")
OPTIONS = CoreOptions()
STEP_SECONDS = 15
SERVICE_RATE = 8.0
"""Requests/s of an engine; exact in binary, as are the arrival rates of steady fleets."""

Course = Callable[[float], TargetView | None]
"""A server at a time [s]; ``None`` while it is not there."""


def engine(  # noqa: PLR0917 (what an engine may be like)
    name: str,
    number: int,
    means: dict[str, float],
    age: float = 3600.0,
    noise: float = 0.0,
    verdict: Reason = Reason.OK,
) -> EngineView:
    """An engine with these means of λ by window, each known to ± ``noise`` requests/s at 90%."""
    known = KeyedEstimate(
        means,
        {window: rate - noise for window, rate in means.items()},
        {window: rate + noise for window, rate in means.items()},
        Reason.OK if means else Reason.WARMING_UP,
        {window: Reason.OK if window in means else Reason.WARMING_UP for window in OPTIONS.windows_seconds},
    )
    return EngineView(
        name,
        "llama",
        str(number),
        arrival_rate=known,
        service_rate=Estimate(SERVICE_RATE, verdict=verdict),
        utilization=KeyedEstimate(
            {window: rate / SERVICE_RATE for window, rate in means.items()},
            verdict=verdict if means else Reason.WARMING_UP,
        ),
        running_requests=0.0,
        queue_length=0.0,
        target_utilization=OPTIONS.target_utilization,
        scale_up_seconds=OPTIONS.scale_up_seconds,
        engine_age_seconds=age,
    )


def target(name: str, *arrivals: float, role: str = "") -> TargetView:
    """A server that has been watched for an hour, with an engine for each λ."""
    engines = (engine(name, number, {"1m": rate, "5m": rate}) for number, rate in enumerate(arrivals))
    return TargetView(name, True, 0.5, 0.01, tuple(engines), role=role)


def replica(name: str, rate: Callable[[float], float], begin: float = -7200.0, end: float = float("inf")) -> Course:
    """A server with one engine whose λ at each time is ``rate``, which lives from ``begin`` to ``end`` [s]."""

    def at(now: float) -> TargetView | None:
        if not begin <= now < end:
            return None
        windows = {window: seconds for window, seconds in OPTIONS.windows_seconds.items() if now - begin >= seconds}
        means = {window: _mean(rate, now, seconds) for window, seconds in windows.items()}
        return TargetView(name, True, 0.5, 0.01, (engine(name, 0, means, now - begin, noise=0.1),))

    return at


def _mean(rate: Callable[[float], float], now: float, window: float) -> float:
    """Mean of a rate over the window before ``now`` [s], to a second."""
    return sum(rate(now - second) for second in range(int(window))) / window


def laden(course: Course, inside: Callable[[float], tuple[float, float]]) -> Course:
    """The same server with so many requests that run and wait at a time."""

    def at(now: float) -> TargetView | None:
        view = course(now)
        if view is None or not view.engines:
            return view
        running, waiting = inside(now)
        (only,) = view.engines
        return replace(view, engines=(replace(only, running_requests=running, queue_length=waiting),))

    return at


def doubted(course: Course, begin: float, end: float, reason: Reason) -> Course:
    """The same server, whose μ has a doubt between two times."""

    def at(now: float) -> TargetView | None:
        view = course(now)
        if view is None or not begin <= now < end:
            return view
        (only,) = view.engines
        rho = replace(only.utilization, verdict=reason)
        return replace(view, engines=(replace(only, utilization=rho),))

    return at


def unreadable(course: Course, begin: float, end: float) -> Course:
    """The same server, which does not answer kvwatch between two times."""

    def at(now: float) -> TargetView | None:
        view = course(now)
        if view is None or not begin <= now < end:
            return view
        return TargetView(view.target, False, now - begin, None, withheld=("llama",))

    return at


def sidecar_samples(view: TargetView, models: Sequence[ModelView] = ()) -> dict[str, float]:
    """What a Prometheus has that scrapes a kvwatch beside this server: each pod's kvwatch calls it localhost."""
    exposition = Exposition(lambda: FleetView(0.0, (view,), tuple(models)))
    samples = {f'up{{job="kvwatch", instance="{view.target}"}}': 1.0}
    for family in text_string_to_metric_families(exposition.text()[0].decode()):
        for sample in family.samples:
            labels = {**sample.labels, "instance": view.target, "job": "kvwatch"}
            if "target" in labels:
                labels["target"] = "localhost:8000"
            shown = ", ".join(f'{key}="{value}"' for key, value in labels.items())
            samples[f"{sample.name}{{{shown}}}"] = sample.value
    return samples


def views_of(courses: Sequence[Course], seconds: int) -> list[list[TargetView]]:
    """The servers that there are at each evaluation."""
    times = range(0, seconds, STEP_SECONDS)
    return [[view for course in courses if (view := course(float(now))) is not None] for now in times]


def scrapes_of(evaluations: Sequence[Sequence[TargetView]]) -> list[dict[str, float]]:
    """What Prometheus has of sidecars at each of them."""
    return [{key: value for view in views for key, value in sidecar_samples(view).items()} for views in evaluations]


def said_by_one_process(evaluations: Sequence[Sequence[TargetView]], first: int = 0) -> list[tuple[ModelView, ...]]:
    """What a process that watches all of them says at each."""
    model = FleetModel(OPTIONS)
    return [model.update(float(first + STEP_SECONDS * number), views) for number, views in enumerate(evaluations)]


def input_series(scrapes: Sequence[dict[str, float]]) -> list[dict[str, str]]:
    """Samples scrape by scrape as promtool takes them; a series that ends is stale at once, as Prometheus has it."""
    names = dict.fromkeys(name for scrape in scrapes for name in scrape)
    return [
        {"series": name, "values": " ".join(repr(scrape[name]) if name in scrape else "stale" for scrape in scrapes)}
        for name in names
    ]


def check(folder: Path, scrapes: Sequence[dict[str, float]], expected: list[dict[str, object]]) -> None:
    """Have promtool run the rules over the scrapes, one every 15 seconds, and compare."""
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
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]


def expectation(expression: str, at: float, *samples: tuple[str, float]) -> dict[str, object]:
    """That an expression has these samples, by labels, at a time, and no others."""
    shown = [{"labels": labels, "value": value} for labels, value in samples]
    return {"expr": expression, "eval_time": f"{at:.0f}s", "exp_samples": shown}
