"""Every alert has a rule, a test, a runbook and a dashboard; nothing names a metric that does not exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import promql_parser
import pytest
import yaml

from alerts.rule import Alert
from alerts.rule_file import GROUPS as GROUPS_IN_PYTHON
from alerts.write import to_yaml
from kvwatch.export.catalog import BY_NAME, VALIDITY

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
RULES = ALERTS / "kvwatch.rules.yaml"
TESTS = sorted(ALERTS.glob("*.test.yaml"))
CASES = [(file, case) for file in TESTS for case in yaml.safe_load(file.read_text())["tests"]]
RUNBOOKS = ROOT / "docs" / "runbooks"
COMPOSE = ROOT / "compose"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALL = [rule for group in GROUPS for rule in group["rules"]]
ALERT_RULES = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL if "record" in rule}
LOAD = ("KvwatchSaturationApproaching", "KvwatchSaturated", "KvwatchOverloaded")
"""The pages about a model's load, in the order of an incident."""
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
QUERIES = re.compile(r"```promql\n(.*?)```", re.DOTALL)
NAME = re.compile(r"\b((?:(?:engine|model|fleet):)?kvwatch_[a-z0-9_]+(?::[a-z0-9_]+)?)")

needs_promtool = pytest.mark.prometheus


def tool(*command: str | Path) -> str:
    """Run promtool or amtool; fails with what it says."""
    if shutil.which(str(command[0])) is None:
        pytest.fail(f"{command[0]} must be on the PATH: make setup-prometheus")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(expression: str) -> set[str]:
    """Metric names in an expression; raises ValueError where it is no PromQL."""
    return set(_names(promql_parser.parse(expression)))


def _names(node: Any) -> Iterator[str]:
    if getattr(node, "name", None) and type(node).__name__ == "VectorSelector":
        yield node.name
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, part, None)
        if child is not None:
            yield from _names(child)
    for argument in getattr(node, "args", None) or ():
        yield from _names(argument)


def known(name: str) -> bool:
    """Whether kvwatch exports it, a rule records it, Prometheus itself makes it, or each version of vLLM shows it."""
    return name in BY_NAME or name in RECORDED or name in {"up", "ALERTS", "vllm:num_requests_running"}


@needs_promtool
def test_promtool_finds_nothing_to_complain_about() -> None:
    """Syntax, template functions, names and duplicates."""
    tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


@needs_promtool
@pytest.mark.parametrize(
    ("file", "case"), CASES, ids=lambda part: part["name"] if isinstance(part, dict) else part.stem
)
def test_every_alert_is_silent_before_fires_and_resolves_when_it_should(
    tmp_path: Path, file: Path, case: dict[str, Any]
) -> None:
    """Promtool runs the rules over made-up series; the file says what is expected when, to the word.

    Each of its cases by itself, so that the one that fails has a name.
    """
    content = yaml.safe_load(file.read_text()) | {"rule_files": [str(RULES)], "tests": [case]}
    (tmp_path / file.name).write_text(yaml.safe_dump(content, width=10**6))
    tool("promtool", "test", "rules", tmp_path / file.name)


def test_every_alert_is_tested_silent_firing_and_silent_again() -> None:
    """In one and the same course of series."""
    full = set()
    for _, test in CASES:
        for alert in ALERT_RULES:
            states = [bool(t.get("exp_alerts")) for t in test["alert_rule_test"] if t["alertname"] == alert]
            changes = [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]
            if changes[:3] == [False, True, False]:
                full.add(alert)
    assert full == set(ALERT_RULES)


def test_the_committed_rules_are_what_the_python_makes() -> None:
    """To change a rule, change its Python and run ``python -m alerts``."""
    assert RULES.read_text(encoding="utf-8") == to_yaml(GROUPS_IN_PYTHON)


def test_the_rule_file_holds_what_the_python_says() -> None:
    """YAML's own reader finds the same expressions, words and durations in the text."""
    read = {rule.get("alert") or rule["record"]: rule for rule in ALL}
    for rule in (rule for group in GROUPS_IN_PYTHON for rule in group.rules):
        found = read[rule.name]
        assert found["expr"].strip() == dedent(rule.expr).strip()
        assert rule.fields.items() <= found.items()
        if isinstance(rule, Alert):
            assert found["annotations"] == {name: " ".join(text) for name, text in rule.annotations.items()}


def test_rules_are_short_enough_to_read() -> None:
    """Whatever is longer is broken into recorded series with names.

    A link, a set of matchers or the closed list of reasons is one long line. The pages on load have words for each
    state that they can be read in, and need twice the lines of the others.
    """
    for rule in ALL:
        assert len(rule["expr"].splitlines()) <= 12, rule
    text = RULES.read_text(encoding="utf-8").splitlines()
    assert max(len(line) for line in text if "reason=~" not in line) <= 210
    for part in "\n".join(text).split("- alert:")[1:]:
        most = 80 if part.split()[0] in LOAD else 35
        assert sum(line.startswith(" " * 12) for line in part.splitlines()) <= most, part.split()[0]


def test_the_only_yaml_is_rules_and_their_tests() -> None:
    """So that a Prometheus may load `alerts/*.rules.yaml`, and promtool test `alerts/*.test.yaml`."""
    assert {p.name for p in ALERTS.glob("*.y*ml")} == {RULES.name, *(p.name for p in TESTS)}


def test_rules_name_only_metrics_that_exist() -> None:
    """Exported by kvwatch or recorded above."""
    unknown = {name for rule in ALL for name in names(rule["expr"]) if not known(name)}
    assert unknown == set()


def test_what_is_recorded_is_named_by_level_metric_and_operation() -> None:
    """By Prometheus' convention; the middle is a metric of kvwatch, and docs/alerts.md has each of them."""
    text = (ROOT / "docs" / "alerts.md").read_text()
    for name in RECORDED:
        level, metric, operation = name.split(":")
        assert level in {"engine", "model", "fleet"}
        assert metric in BY_NAME or metric == "kvwatch_engines", name
        assert operation
        assert f"`{name}`" in text, f"{name} is not in docs/alerts.md"


@pytest.mark.parametrize("alert", ALERT_RULES)
def test_an_alert_says_what_to_do(alert: str) -> None:
    """Severity, summary, description, runbook and dashboard; names in templates exist."""
    rule = ALERT_RULES[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert annotations["runbook_url"] == f"http://localhost:9718/runbooks/{alert}.md"
    uid = annotations["dashboard_url"].split("/d/")[1].split("?")[0]
    uids = {json.loads((ROOT / "dashboards" / f"{name}.json").read_text())["uid"] for name in ("fleet", "engine")}
    assert uid in uids
    asked = set(NAME.findall(annotations["description"]))
    assert [name for name in asked if not known(name)] == []


@pytest.mark.parametrize(
    "alert", [name for name, rule in ALERT_RULES.items() if "$labels.target" in rule["annotations"]["summary"]]
)
def test_an_alert_about_a_server_says_which_pod(alert: str) -> None:
    """Every sidecar calls its server localhost: only the instance, and the pod where it is known, tell them apart."""
    for text in ("summary", "description"):
        words = ALERT_RULES[alert]["annotations"][text]
        assert "{{ $labels.instance }}{{ with $labels.pod }} in {{ . }}{{ end }}" in words


@pytest.mark.parametrize("alert", LOAD)
def test_a_page_about_load_carries_the_numbers_of_one_window(alert: str) -> None:
    """ρ, limit, λ, μ, the queue, what binds, what to set and how many replicas to add.

    A load over five minutes beside an arrival rate over one would contradict it.
    """
    description = ALERT_RULES[alert]["annotations"]["description"]
    for name in (
        "model:kvwatch_utilization:ratio1m", "model:kvwatch_stable_limit:avg", "model:kvwatch_arrival_rate:sum1m",
        "model:kvwatch_service_rate:sum", "kvwatch_binding_limit", "model:kvwatch_queue_length:sum",
        "model:kvwatch_replicas_required:missing", "kvwatch_recommended_max_num_seqs",
    ):  # fmt: skip
        assert name in description
    beside = description.replace("last_over_time(model:kvwatch_utilization:ratio5m", "")
    assert re.findall(r"(?:ratio|sum|avg)(?:5m|15m)", beside) == []


@pytest.mark.parametrize("alert", LOAD)
def test_a_page_about_load_goes_on_by_its_expression(alert: str) -> None:
    """Prometheus freezes the words of an alert that ``keep_firing_for`` keeps up: they would be of another state."""
    assert "keep_firing_for" not in ALERT_RULES[alert]


@pytest.mark.parametrize("alert", ALERT_RULES)
def test_an_alert_begins_with_its_users_and_says_what_to_do(alert: str) -> None:
    """In plain words, without a letter of the theory; rates follow, with the time that they are of."""
    told = [
        words
        for _, case in CASES
        for test in case["alert_rule_test"]
        if test["alertname"] == alert
        for words in (expected["exp_annotations"] for expected in test.get("exp_alerts", ()))
    ]
    assert told
    for words in told:
        text = words["description"]
        assert re.match(r"Users |Nothing is to be done", text), text
        assert "To do: " in text or "othing is to be done" in text
        assert re.search("[λμρδ]", words["summary"] + text) is None
        assert "requests/s" not in text or re.search(r"\b[Aa]t \d\d:\d\d\b", text)


@pytest.mark.parametrize("alert", ALERT_RULES)
def test_a_runbook_is_complete_and_its_queries_work(alert: str) -> None:
    """Four sections with text, no gaps left, queries that parse and name metrics that exist."""
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert re.search(r"\b(TODO|TBD|FIXME|XXX)\b", text, re.IGNORECASE) is None
    title, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert title.strip() == f"# {alert}"
    assert [section.split("\n", 1)[0] for section in sections] == SECTIONS
    assert all(len(section.split("\n", 1)[1].split()) >= 8 or alert == "KvwatchRollout" for section in sections)
    queries = QUERIES.findall(text)
    assert queries
    for query in queries:
        found = names(query)
        assert found
        assert [name for name in found if not known(name)] == []


def test_there_is_no_runbook_without_its_alert() -> None:
    """A page that is left over would mislead."""
    assert {p.stem for p in RUNBOOKS.glob("*.md")} == set(ALERT_RULES)


def test_validity_reasons_that_rules_name_exist() -> None:
    """A renamed reason would silently change what pages."""
    from kvwatch.estimate import Reason  # noqa: PLC0415 (of the core, for this test alone)

    asked = {r for rule in ALL for found in re.findall(r'reason=~"([^"]+)"', rule["expr"]) for r in found.split("|")}
    assert asked
    assert asked <= set(Reason)
    assert VALIDITY.name == "kvwatch_estimate_valid"
