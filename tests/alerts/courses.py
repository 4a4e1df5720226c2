"""Courses of made-up series, a value a minute, and which alerts fire over them, asked of promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[2] / "alerts" / "kvwatch.rules.yaml"
Course = Sequence[float | None]
"""A value a minute; None where the series is gone."""
SERVICE_RATE = 10.0


def series(name: str, labels: Mapping[str, str], course: Course) -> dict[str, str]:
    """A series as promtool takes it."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": " ".join("stale" if v is None else f"{v:g}" for v in course)}


def unmarked(given: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The same series, whose end nobody has marked: Prometheus was away then, and goes on with the last value."""
    return [each | {"values": each["values"].replace("stale", "_")} for each in given]


def engine(
    load: Course, queue_growth: Course | None = None, reason: str = "ok", doubt: str = "ok", **labels: str
) -> list[dict[str, str]]:
    """An engine at a utilization known to 7%, which is gone where that is None.

    Args:
        load: ρ, of 1 and of 5 minutes alike.
        queue_growth: Requests by which the queue grows in each minute; none without it.
        reason: Why λ over five minutes is not valid, or ``ok``.
        doubt: The same of ρ.
        labels: In place of those of the only engine of a model ``m``, or more of them.
    """
    own = {"instance": "k", "job": "kvwatch", "target": "a", "model_name": "m", "engine": "0"} | labels
    growth = queue_growth or [0.0] * len(load)
    queue = [sum(g or 0.0 for g in growth[:i]) for i in range(len(load))]
    found: list[dict[str, str]] = []

    def put(name: str, values: Iterable[float | None], **more: str) -> None:
        there = [None if at is None else value for at, value in zip(load, values, strict=True)]
        found.append(series(name, more | own, there))

    def steady(value: float) -> list[float]:
        return [value] * len(load)

    rate = [SERVICE_RATE * (at or 0.0) for at in load]
    put("kvwatch_queue_length", queue)
    put("kvwatch_queue_slope", [(g or 0.0) / 60 for g in growth])
    put("kvwatch_queue_slope_lower", [0.8 * (g or 0.0) / 60 for g in growth])
    put("kvwatch_scale_up_seconds", steady(600))
    put("kvwatch_target_utilization", steady(0.8))
    put("kvwatch_service_rate", steady(SERVICE_RATE))
    put("kvwatch_binding_limit", steady(1), limit="kv")
    for window in ("1m", "5m"):
        put("kvwatch_arrival_rate", rate, window=window)
        put("kvwatch_utilization", load, window=window)
        put("kvwatch_utilization_lower", [0.93 * (at or 0.0) for at in load], window=window)
    put("kvwatch_arrival_rate_lower", [r - 0.2 for r in rate], window="5m")
    put("kvwatch_arrival_rate_upper", [r + 0.2 for r in rate], window="5m")
    put("kvwatch_estimate_valid", steady(float(doubt == "ok")), estimate="utilization", reason=doubt)
    put("kvwatch_estimate_valid", steady(float(reason == "ok")), estimate="arrival_rate_5m", reason=reason)
    put("kvwatch_estimate_valid", steady(1), estimate="arrival_rate_1m", reason="ok")
    return found


def judge(
    folder: Path, given: list[dict[str, str]], expected: Mapping[str, str], known: Mapping[str, str] | None = None
) -> None:
    """Run the rules that ship over series.

    Args:
        folder: For promtool's files.
        given: The series.
        expected: By time, such as ``45m``, the alerts that fire then, without the prefix of their names: all of them.
        known: By time, a recorded series that is there then, of one model.

    Raises:
        AssertionError: Others fire, or fewer. It says what promtool says.
    """
    tests: list[dict[str, Any]] = [
        {
            "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": time,
            "exp_samples": [{"labels": f'{{alertname="Kvwatch{name}"}}', "value": 1} for name in names.split()],
        }
        for time, names in expected.items()
    ]
    tests += [
        {"expr": f"group ({name})", "eval_time": time, "exp_samples": [{"labels": "{}", "value": 1}]}
        for time, name in (known or {}).items()
    ]
    build = {"series": 'kvwatch_build_info{instance="k"}', "values": "1+0x400"}
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "30s",
        "group_eval_order": [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]],
        "tests": [{"interval": "1m", "input_series": [*given, build], "promql_expr_test": tests}],
    }
    file = folder / "course.yaml"
    file.write_text(yaml.safe_dump(content, width=10**7))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
