"""The evaluator of rules says what a real Prometheus says."""

from __future__ import annotations

import json
import random
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.lead_time.judge import OWN, RIVALS
from kvwatch.promql.evaluation import evaluate
from kvwatch.promql.firing import Run
from kvwatch.promql.labels import NAME, Labels, labels_of
from kvwatch.promql.rules import read_rules
from kvwatch.promql.series import Database, Stored
from tests.prometheus_server import require_prometheus, serving

pytestmark = pytest.mark.prometheus
require_prometheus()

_START = 1_750_000_000.0
_SCRAPES, _EVERY, _PHASE, _STEP = 200, 30.0, 7.0, 15.0

EXPRESSIONS = (
    "gauge", "-gauge", "gauge + 2 * 3", "gauge > 5", "gauge > bool 5", "5 < gauge", "gauge ^ 2 % 7", "gauge offset 1m",
    'gauge{engine="1"}', 'gauge{engine=~"0|2"}', 'gauge{engine!="0"}', 'gauge{engine!~"0.*"}', 'gauge{absent=""}',
    "sum(gauge)", "sum by (pod) (gauge)", "avg without (engine) (gauge)", "max by (pod) (gauge)", "min(gauge)",
    "count by (pod) (gauge > 5)", "group by (pod) (gauge)",
    "rate(total[5m])", "increase(total[3m])", "delta(gauge[5m])", "deriv(gauge[5m])", "changes(steps[10m])",
    "avg_over_time(gauge[5m])", "min_over_time(gauge[5m])", "max_over_time(gauge[5m])", "sum_over_time(gauge[2m])",
    "quantile_over_time(0.5, gauge[5m])", "quantile_over_time(0.9, gauge[7m:30s])", "quantile_over_time(2, gauge[5m])",
    "quantile_over_time(-1, gauge[5m])", "count_over_time(gauge[5m])", "last_over_time(gauge[10m])",
    "present_over_time(gauge[1m])",
    "max_over_time(gauge[5m] offset 2m)", "avg_over_time(deriv(gauge[5m])[10m:30s])", "max_over_time(gauge[10m:1m])",
    "gauge / ignoring (engine) group_left other", "gauge * on (pod) group_left (kind) info",
    "other > on (pod) info", "other * on (pod) info", "other > ignoring (kind) info", "gauge and gauge > 5",
    "gauge and on (pod) other > 5", "gauge unless on (pod) (other > 5)", "gauge > 7 or gauge < 2", "other or info",
    "info * on (pod) group_right (kind) gauge", "gauge == gauge + 0 or gauge != gauge", "gauge >= bool 0",
    "absent(gauge)", 'absent(nothing{pod="a"})', "vector(1)", "scalar(sum(gauge)) * gauge", "time() - 1750000000",
    "clamp_min(gauge, 3)", "clamp_max(gauge, 3)", "clamp(gauge, 2, 4)", "abs(gauge - 5)", "ceil(gauge)", "floor(gauge)",
    "sqrt(gauge)", "exp(gauge / 10)", "ln(gauge)", "sgn(gauge - 5)",
    "histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[5m])))",
    "histogram_quantile(0.5, rate(seconds_bucket[5m]))",
    'label_replace(gauge, "short", "$1-x", "pod", "(.).*")', 'label_replace(other, "kind", "5m", "", "")',
    "rare", "rate(rare[2m])", "sum(rare) or vector(0)", "total / (total > 300)", "gauge / 0 > 1",
)  # fmt: skip


def _series() -> dict[Labels, Stored]:
    """Gauges, counters with resets, a histogram, and a series that is seldom there."""
    source = random.Random(5)
    at = _START + _PHASE + np.arange(0.0, _EVERY * _SCRAPES, _EVERY)
    series: dict[Labels, Stored] = {}
    for pod in ("a", "b"):
        for engine in ("0", "1"):
            walk = np.abs(5 + np.cumsum([source.gauss(0, 0.4) for _ in at]))
            series[labels_of("gauge", pod=pod, engine=engine)] = Stored(at, walk)
            total = np.cumsum([source.randint(0, 9) for _ in at]).astype(float)
            total[120:] -= total[120] - source.randint(0, 5)
            series[labels_of("total", pod=pod, engine=engine)] = Stored(at, total)
        series[labels_of("other", pod=pod)] = Stored(at, np.array([source.uniform(1, 9) for _ in at]))
        series[labels_of("info", pod=pod, kind=f"kind-{pod}")] = Stored(at, np.full(len(at), 3.0))
        counts = np.cumsum([[source.randint(0, 3) for _ in range(5)] for _ in at], axis=0).cumsum(axis=1)
        for i, edge in enumerate(("0.1", "0.5", "1.0", "2.5", "+Inf")):
            series[labels_of("seconds_bucket", pod=pod, le=edge)] = Stored(at, counts[:, i].astype(float))
    series[labels_of("steps", pod="a")] = Stored(at, np.array([float(i // 7) for i in range(len(at))]))
    some = np.array([i for i in range(_SCRAPES) if (i // 25) % 2])
    series[labels_of("rare", pod="a")] = Stored(at[some], np.array([float(i) for i in some]))
    return series


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that holds the series."""
    lines = []
    for labels, stored in _series().items():
        given = ",".join(f'{k}="{v}"' for k, v in labels if k != NAME)
        lines += [
            f"{dict(labels)[NAME]}{{{given}}} {value!r} {at!r}"
            for at, value in zip(stored.at.tolist(), stored.values.tolist(), strict=True)
        ]
    with serving(tmp_path_factory.mktemp("prometheus"), lines) as address:
        yield address


def _ask(address: str, expression: str, times: np.ndarray[Any, Any]) -> dict[tuple[Labels, float], float]:
    query = {"query": expression, "start": times[0], "end": times[-1], "step": _STEP}
    with urllib.request.urlopen(f"{address}/api/v1/query_range?{urllib.parse.urlencode(query)}", timeout=30) as answer:
        found = json.load(answer)["data"]["result"]
    return {
        (tuple(sorted(series["metric"].items())), round(float(at) - _START, 3)): float(value)
        for series in found
        for at, value in series["values"]
    }


def _own(expression: str, times: np.ndarray[Any, Any]) -> dict[tuple[Labels, float], float]:
    value = evaluate(expression, Database(_series()), times)
    columns = value if isinstance(value, list) else [((), value, np.ones(len(times), dtype=bool))]
    found = {}
    for column in columns:
        labels, values, there = column if isinstance(column, tuple) else (column.labels, column.values, column.there)
        for at, number, present in zip(times.tolist(), values.tolist(), there.tolist(), strict=True):
            if present:
                found[labels, round(at - _START, 3)] = number
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_has_the_value_that_prometheus_gives_it(prometheus: str, expression: str) -> None:
    """Same elements at the same times, same values but for rounding."""
    times = _START + _STEP * np.arange(400)
    theirs, ours = _ask(prometheus, expression, times), _own(expression, times)
    assert theirs or expression == "absent(gauge)"
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True), (expression, key)


Alerts = dict[str, list[tuple[float, dict[str, str]]]]
"""Times at which each alert fires, with its labels."""


def _promtool(folder: Path, rules: dict[str, Any], series: dict[Labels, list[float | None]], expected: Alerts) -> str:
    """Ask promtool whether exactly these alerts fire, at every evaluation; its output if not."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    inputs = []
    for labels, values in series.items():
        given = ",".join(f'{k}="{v}"' for k, v in labels if k != NAME)
        words = ["stale" if v is None else repr(v) for v in values]
        inputs.append({"series": f"{dict(labels)[NAME]}{{{given}}}", "values": " ".join(words)})
    checks = [
        {
            "eval_time": f"{at:.0f}s",
            "alertname": name,
            "exp_alerts": [{"exp_labels": labels} for when, labels in alerts if when == at],
        }
        for name, alerts in expected.items()
        for at in _evaluations(series)
    ]
    case = {"interval": f"{_EVERY:.0f}s", "input_series": inputs, "alert_rule_test": checks}
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{_STEP:.0f}s", "tests": [case]}
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    command = ["promtool", "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, check=False, capture_output=True, timeout=120)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode()


def _evaluations(series: dict[Labels, list[float | None]]) -> list[float]:
    length = len(next(iter(series.values())))
    return [_STEP * i for i in range(round(length * _EVERY / _STEP))]


def _ramp_series() -> dict[Labels, list[float | None]]:
    """What kvwatch and a server show while the load goes up, a hole in it, and down again."""
    ups = [0.4 + 0.9 * min(i, 80) / 80 for i in range(100)] + [1.3 - 0.9 * i / 60 for i in range(60)]
    source = random.Random(3)
    rho = [r + source.gauss(0, 0.01) for r in ups]
    waiting = [max(0.0, 80 * (r - 1)) for r in rho]
    own = {"job": "kvwatch", "instance": "kvwatch:9718", "target": "vllm-0:8000", "model_name": "m", "engine": "0"}
    server = {"job": "vllm", "instance": "vllm-0:8000", "model_name": "m", "engine": "0"}
    total = np.cumsum([[0.2, 0.5 + 2 * (r > 1), 1.0 + 4 * (r > 1)] for r in rho], axis=0).cumsum(axis=1)
    series: dict[Labels, list[float | None]] = {
        labels_of("kvwatch_service_rate", **own): [2.0] * len(rho),
        labels_of("kvwatch_service_rate_plain", **own): [3.0] * len(rho),
        labels_of("kvwatch_stable_limit", **own): [0.95] * len(rho),
        labels_of("kvwatch_queue_length", **own): list(waiting),
        labels_of("kvwatch_queue_slope", **own): [0.1 * (r > 1) for r in rho],
        labels_of("kvwatch_queue_slope_lower", **own): [0.05 * (r > 1) for r in rho],
        labels_of("kvwatch_scale_up_seconds", **own): [300.0] * len(rho),
        labels_of("kvwatch_target_utilization", **own): [0.8] * len(rho),
        labels_of("vllm:num_requests_waiting", **server): list(waiting),
        labels_of("vllm:kv_cache_usage_perc", **server): [min(r * r * r, 1.0) for r in rho],
    }
    for estimate in ("stable_limit", "utilization", "arrival_rate_5m"):
        series[labels_of("kvwatch_estimate_valid", **own, estimate=estimate, reason="ok")] = [1.0] * len(rho)
    for window in ("1m", "5m"):
        for name, factor in (("utilization", 1.0), ("utilization_lower", 0.93), ("utilization_upper", 1.07)):
            series[labels_of(f"kvwatch_{name}", **own, window=window)] = [factor * r for r in rho]
        for name, factor in (("arrival_rate", 2.0), ("arrival_rate_lower", 1.9), ("arrival_rate_upper", 2.1)):
            series[labels_of(f"kvwatch_{name}", **own, window=window)] = [factor * r for r in rho]
    for i, edge in enumerate(("0.5", "2.0", "+Inf")):
        labels = labels_of("vllm:time_to_first_token_seconds_bucket", **server, le=edge)
        series[labels] = [float(x) for x in total[:, i]]
    for values in series.values():
        values[130:134] = [None] * 4
    return series


def _between(stored: Stored, times: np.ndarray[Any, Any]) -> Stored:
    """The samples that a stretch of evaluations adds: those up to its end that no stretch before it had."""
    inside = (stored.at >= times[0]) & (stored.at < times[-1] + _STEP)
    return Stored(stored.at[inside], stored.values[inside])


@pytest.mark.parametrize("stretches", [1, 7])
@pytest.mark.parametrize("path", [OWN, RIVALS], ids=["kvwatch", "rivals"])
def test_alerts_fire_when_promtool_says_so(path: Path, stretches: int, tmp_path: Path) -> None:
    """Every alert of the file, at every evaluation: with ``for``, ``keep_firing_for``, and series that go stale.

    In one stretch of time or in several, of which the later ones know of the earlier ones only what they need.
    """
    series = _ramp_series()
    times = np.array(_evaluations(series))
    at = times[:: round(_EVERY / _STEP)]
    stored = {k: Stored(at, np.array([np.nan if v is None else v for v in values])) for k, values in series.items()}
    file = read_rules(path.read_text())
    expected: Alerts = {r.name: [] for r in file.alerts}
    run = Run(file)
    for part in np.array_split(times, stretches):
        run.database.append({k: _between(s, part) for k, s in stored.items()})
        for found in run.advance(part):
            labels = {**dict(found.labels), **dict(found.alert.labels)}
            fired = part[found.firing].tolist()
            expected[found.alert.name] += [(when, labels) for when in fired]
        run.forget(part[-1])
    assert sum(bool(alerts) for alerts in expected.values()) >= 3
    rules = yaml.safe_load(path.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    # one group, so that promtool evaluates in the file's order too
    rules["groups"] = [{"name": "all", "interval": "15s", "rules": [r for g in rules["groups"] for r in g["rules"]]}]
    assert not _promtool(tmp_path, rules, series, expected)
    late = {name: [(when + _STEP, labels) for when, labels in alerts] for name, alerts in expected.items()}
    assert _promtool(tmp_path, rules, series, late), "promtool accepts anything"
