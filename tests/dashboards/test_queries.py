"""What the dashboards ask Prometheus: it parses, and asks only for what is there to be asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import promql_parser
import pytest
import yaml

from dashboards.states import STATES
from kvwatch.estimate import Reason
from kvwatch.export.catalog import BY_NAME
from kvwatch.parse.exposition import vllm
from tests.core.synthetic import SyntheticEngine, Watch, poisson
from tests.dashboards.boards import NAMES, filled, panels, queries

RULES = Path(__file__).resolve().parents[2] / "alerts" / "kvwatch.rules.yaml"
PROMETHEUS_LABELS = {"instance", "job"}
ESTIMATES = "Estimates that do not stand, and why"
ALERT_LABELS = {"alertname", "alertstate", "model_name", "target"}


def selectors(expression: promql_parser.Expr) -> Iterator[promql_parser.VectorSelector]:
    """Every selector of series in an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for name in ("expr", "lhs", "rhs", "vs", "vector_selector", "args"):
        inner = getattr(expression, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


@cache
def recorded() -> frozenset[str]:
    """Names that the recording rules make."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return frozenset(rule["record"] for group in groups for rule in group["rules"] if "record" in rule)


def faults(expression: str) -> list[str]:
    """What is wrong with a query: names, labels and label values that do not exist."""
    found = []
    for selector in selectors(promql_parser.parse(filled(expression))):
        name, matchers = selector.name, {m.name: m.value for m in selector.matchers.matchers}
        metric = BY_NAME.get(name)
        if metric is not None:
            labels = set(metric.labels) | PROMETHEUS_LABELS
            if metric.values and matchers.get(metric.extra_labels[0], metric.values[0]) not in metric.values:
                found.append(f"{name}: {metric.extra_labels[0]}={matchers[metric.extra_labels[0]]}")
        elif name == "ALERTS":
            labels = ALERT_LABELS
        elif name in VLLM:
            labels = {"model_name", "engine"} | PROMETHEUS_LABELS
        else:
            labels = set(matchers)
            if name not in recorded():
                found.append(f"{name} is neither exported, recorded nor vLLM's")
        found += [f"{name} has no label {label}" for label in set(matchers) - labels]
    return found


VLLM = frozenset(vllm.PREFIX + sample.name for row in vllm.ROWS for sample in row.samples) | {
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
}
"""Names that vLLM documents and kvwatch reads."""


def test_there_are_queries() -> None:
    """The checks below see dozens of queries of each dashboard."""
    assert all(len(list(queries(name))) > 20 for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_parses_and_names_what_exists(name: str) -> None:
    """Metrics are exported, recorded or vLLM's own; matchers are on labels they have, with values these take."""
    found = [f"{place}: {fault}" for place, expression in queries(name) for fault in faults(expression)]
    assert found == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("kvwatch_utilisation", "neither exported"),
        ("sum(rate(vllm:num_preemption_total[5m]))", "neither exported"),
        ('kvwatch_service_rate{window="5m"}', "no label window"),
        ('1 - max without (limit) (kvwatch_binding_limit{limit="memory"})', "limit=memory"),
        ("quantile_over_time(0.2, (kvwatch_queue + 0)[3m:10s])", "neither exported"),
    ],
)
def test_the_check_of_names_finds_faults(expression: str, fault: str) -> None:
    """A misspelt metric, a label that the metric lacks and a value that it never takes are all found."""
    assert [found for found in faults(expression) if fault in found]


@pytest.mark.prometheus
def test_pools_of_one_model_are_not_added_up(tmp_path: Path) -> None:
    """Where prefill and decode are apart a request arrives at both: each pool has its own λ."""
    (query,) = [e for place, e in queries("fleet.json") if place.startswith("Arrivals of each model")]
    names, rates = ("kvwatch_arrival_rate", "kvwatch_running_requests"), {"prefill": 4, "decode": 3}
    given = [
        {"series": f'{name}{{window="5m",model_name="x",target="{role}",role="{role}"}}', "values": f"{rate}x9"}
        for name in names
        for role, rate in rates.items()
    ]
    samples = [{"labels": f'{{model_name="x",role="{role}"}}', "value": rate} for role, rate in rates.items()]
    test = {"expr": filled(query), "eval_time": "5m", "exp_samples": samples}
    case = {"tests": [{"interval": "1m", "input_series": given, "promql_expr_test": [test]}]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case), encoding="utf-8")
    command = ["promtool", "test", "rules", str(tmp_path / "case.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_an_engine_that_began_again_is_marked_and_no_other(tmp_path: Path) -> None:
    """From what the core says of an engine before and after its counters begin again: 1 while a window reaches back."""
    watch = Watch(SyntheticEngine(poisson(5, 900)))
    states, engine = [], 'model_name="m",target="t",engine="0"'
    for at in range(15):
        if at == 7:
            watch.engine.restart()
        states.append(watch.run(60).estimate_valid)
    given = [
        {
            "series": f'kvwatch_estimate_valid{{{engine},estimate="{name}",reason="{reason}"}}',
            "values": " ".join(str(int(s[name].valid)) if s[name].reason == reason else "stale" for s in states),
        }
        for name in ("arrival_rate_1m", "arrival_rate_5m")
        for reason in {s[name].reason for s in states}
    ]
    (query,) = [e for place, e in queries("engine.json") if place == "annotation Restarts"]
    expression = filled(query, model_name="m", target="t", engine="0")
    samples = [{"labels": f"{{{engine}}}", "value": 1}]
    marked = [any(s[name].reason == "restart" for name in ("arrival_rate_1m", "arrival_rate_5m")) for s in states]
    assert marked[7]
    assert not marked[6]
    assert not marked[14]
    tests = [
        {"expr": expression, "eval_time": f"{at}m", "exp_samples": samples if now else []}
        for at, now in enumerate(marked)
    ]
    case = {"tests": [{"interval": "1m", "input_series": given, "promql_expr_test": tests}]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case, width=10**6), encoding="utf-8")
    command = ["promtool", "test", "rules", str(tmp_path / "case.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def mapped(title: str) -> set[str]:
    """Values that a panel has words for, its overrides included."""
    (panel,) = [panel for name in NAMES for panel in panels(name) if panel["title"] == title]
    config = panel["fieldConfig"]
    maps = config["defaults"].get("mappings") or []
    maps = maps + [m for o in config["overrides"] for p in o["properties"] if p["id"] == "mappings" for m in p["value"]]
    return {key for mapping in maps for key in mapping["options"]}


@pytest.mark.parametrize("title", ["Verdict", "Worst engine", "Engines"])
def test_every_state_has_words(title: str) -> None:
    """No state is shown as a bare number."""
    assert {str(state.code) for state in STATES} <= mapped(title)


@pytest.mark.parametrize("title", [ESTIMATES, "Engines whose utilization is not sure"])
def test_every_reason_has_words(title: str) -> None:
    """Every reason of the closed list is shown in words."""
    assert set(Reason) <= mapped(title)


def test_every_state_is_explained_in_the_document() -> None:
    """``docs/dashboards.md`` says when each verdict stands."""
    document = (RULES.parents[1] / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert [state.sentence for state in STATES if f"| {state.sentence} |" not in document] == []
