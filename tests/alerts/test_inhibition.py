"""One incident is one page: a real Alertmanager with the configuration that ships, and alerts as the rules make them.

Each case is a model of its own, so that one Alertmanager sees them all at once.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.test_rules import ALERT_RULES, COMPOSE
from tests.e2e.stack import Part, Webhook, fetch, free_port, until

pytestmark = pytest.mark.prometheus
ENGINE = (
    "KvwatchQueueGrowing",
    "KvwatchHotReplica",
    "KvwatchEstimateInvalid",
    "KvwatchModelGap",
    "KvwatchCongestionCycle",
)


@dataclass(frozen=True)
class Case:
    """Alerts that fire together for one model, and those of them that anyone hears of, by receiver."""

    fire: tuple[str, ...]
    page: frozenset[str] = frozenset()
    ticket: frozenset[str] = frozenset()


def case(*fire: str, page: str = "", ticket: str = "") -> Case:
    """A case, with the prefix of all names left out."""
    named = [frozenset(f"Kvwatch{name}" for name in names.split()) for names in (page, ticket)]
    return Case(tuple(f"Kvwatch{name}" for name in fire), *named)


CASES = {
    "hot": case("HotReplica", ticket="HotReplica"),
    "hot-and-growing": case("HotReplica", "QueueGrowing", page="QueueGrowing", ticket="HotReplica"),
    "growing-and-approaching": case("QueueGrowing", "SaturationApproaching", page="QueueGrowing SaturationApproaching"),
    "approaching": case("SaturationApproaching", page="SaturationApproaching"),
    "saturated": case("SaturationApproaching", "Saturated", page="Saturated"),
    "overloaded": case("SaturationApproaching", "Saturated", "Overloaded", "QueueGrowing", page="Overloaded"),
    "blind": case("Blind", page="Blind"),
    "blind-in-overload": case("Overloaded", "Saturated", "SaturationApproaching", "Blind", page="Overloaded"),
    "rollout": case("Rollout"),
    "rollout-into-overload": case("Rollout", "Overloaded", page="Overloaded"),
    "waves": case("CongestionCycle", "Overloaded", page="Overloaded", ticket="CongestionCycle"),
}


POOLS = [("KvwatchOverloaded", "prefill"), ("KvwatchSaturated", "decode"), ("KvwatchQueueGrowing", "decode")]
"""Alerts of two pools of one model that fire together, by role: the load of one says nothing of the other's."""


def alert(name: str, model: str, **more: str) -> dict[str, Any]:
    """An alert with the labels that its rule gives it."""
    labels = {"alertname": name, "severity": ALERT_RULES[name]["labels"]["severity"], "model_name": model}
    if name in ENGINE:
        labels |= {"target": "a:8000", "engine": "0", "instance": "kvwatch:9718", "job": "kvwatch"}
    return {"labels": labels | more, "annotations": {"summary": name}}


class Alertmanager:
    """The real one, on a free port, that tells a webhook of pages and another of tickets."""

    def __init__(self, folder: Path) -> None:
        self.hooks = {"page": Webhook(), "ticket": Webhook(), "nobody": Webhook()}
        config = yaml.safe_load((COMPOSE / "alertmanager" / "alertmanager.yml").read_text())
        for route in (config["route"], *config["route"]["routes"]):
            route |= {"group_wait": "1s", "group_interval": "1s"}
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": self.hooks[receiver["name"]].url}]
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        self._of(folder)

    @classmethod
    def of(cls, folder: Path) -> Alertmanager:
        """One with the configuration that is in a folder already."""
        made = cls.__new__(cls)
        made.hooks = {}
        made._of(folder)
        return made

    def _of(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = (
            "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
            "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}",
        )  # fmt: skip
        self.part = Part(command, lambda: fetch(f"{self.url}/-/ready") is not None, folder / "alertmanager.log")

    def post(self, alerts: list[dict[str, Any]]) -> None:
        """As Prometheus does."""
        body = json.dumps(alerts).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def heard(self, receiver: str, model: str) -> list[list[str]]:
        """What a receiver was told of a model: the alerts' names, by notification."""
        told = self.hooks[receiver].notifications
        groups = [n for n in told if n["groupLabels"].get("model_name") == model]
        return [sorted(a["labels"]["alertname"] for a in n["alerts"]) for n in groups]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """An Alertmanager that has got the alerts of all cases, and one more that it has told of since."""
    manager = Alertmanager(tmp_path_factory.mktemp("alertmanager"))
    try:
        manager.part.start()
        pools = [alert(name, "pools", role=role) for name, role in POOLS]
        manager.post(pools + [alert(name, model) for model, case in CASES.items() for name in case.fire])
        expected = {(r, m) for m, case in CASES.items() for r in ("page", "ticket") if getattr(case, r)}
        until(lambda: all(manager.heard(r, m) for r, m in expected), "what is expected")
        # what is posted later is told later: whatever was not held back has been told of by then
        last = [alert("KvwatchSaturated", "last"), alert("KvwatchModelGap", "last")]
        manager.post(last)
        until(lambda: bool(manager.heard("page", "last") and manager.heard("ticket", "last")), "the last alerts")
        yield manager
    finally:
        manager.part.stop()
        for hook in manager.hooks.values():
            hook.close()


@pytest.mark.parametrize("model", CASES)
def test_an_incident_is_one_page(told: Alertmanager, model: str) -> None:
    """One notification to each who is concerned, with the alerts that say most."""
    for receiver in ("page", "ticket"):
        expected = getattr(CASES[model], receiver)
        assert told.heard(receiver, model) == ([sorted(expected)] if expected else [])


def test_nothing_reaches_anyone_that_is_for_inhibition_only(told: Alertmanager) -> None:
    """A rollout is told to the receiver that sends nothing."""
    everyone = [a for r in ("page", "ticket") for n in told.hooks[r].notifications for a in n["alerts"]]
    assert [a for a in everyone if a["labels"]["alertname"] == "KvwatchRollout"] == []


def test_overload_of_one_pool_hides_nothing_of_another(told: Alertmanager) -> None:
    """Prefill and decode engines are scaled apart: who is on call hears of both, in one notification."""
    assert told.heard("page", "pools") == [sorted(name for name, _ in POOLS)]


def test_a_page_that_ends_during_a_rollout_is_told_to_have_ended(told: Alertmanager) -> None:
    """Nothing that a rollout does may hold back the word that the incident is over."""
    page = alert("KvwatchSaturationApproaching", "ends")
    told.post([page])
    until(lambda: bool(told.heard("page", "ends")), "the page")
    told.post([alert("KvwatchRollout", "ends")])
    until(lambda: bool(told.heard("nobody", "ends")), "the rollout")
    told.post([page | {"endsAt": datetime.now(UTC).isoformat()}])
    resolved = told.hooks["page"].alerts
    until(lambda: "ends" in {a["labels"]["model_name"] for a in resolved("resolved")}, "the end of the page", 20)


def test_a_ticket_that_ends_during_a_page_is_told_to_have_ended(told: Alertmanager) -> None:
    """A page goes elsewhere: who got the ticket hears of its end."""
    ticket = alert("KvwatchHotReplica", "ticket-ends")
    told.post([ticket])
    until(lambda: bool(told.heard("ticket", "ticket-ends")), "the ticket")
    told.post([alert(name, "ticket-ends") for name in ("KvwatchOverloaded", "KvwatchSaturated", "KvwatchQueueGrowing")])
    until(lambda: bool(told.heard("page", "ticket-ends")), "the page")
    told.post([ticket | {"endsAt": datetime.now(UTC).isoformat()}])
    resolved = told.hooks["ticket"].alerts
    until(lambda: "ticket-ends" in {a["labels"]["model_name"] for a in resolved("resolved")}, "the ticket's end", 20)


def pagerduty(text: str, url: str) -> dict[str, Any]:
    """The receiver in the comment of the configuration, as one that sends to a URL."""
    lines = [line.removeprefix("#").removeprefix(" ") for line in text.split("route:", maxsplit=1)[0].splitlines()]
    begin = lines.index("  - name: page")
    (receiver,) = yaml.safe_load("\n".join(lines[begin:]))
    (config,) = receiver["pagerduty_configs"]
    del config["routing_key_file"]
    return {"name": "page", "pagerduty_configs": [config | {"routing_key": "any", "url": url}]}


def test_the_example_of_pagerduty_has_words_and_a_link_for_several_alerts(tmp_path: Path) -> None:
    """A summary that is empty is refused, and alerts of two engines have no annotation in common."""
    text = (COMPOSE / "alertmanager" / "alertmanager.yml").read_text()
    hook = Webhook()
    config = yaml.safe_load(text)
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "1s"
    config["receivers"][0] = pagerduty(text, hook.url)
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    manager = Alertmanager.of(tmp_path)
    try:
        manager.part.start()
        both = [alert("KvwatchQueueGrowing", "two", target=target) for target in ("a:8000", "b:8000")]
        for one in both:
            target = one["labels"]["target"]
            one["annotations"] = {
                "summary": f"the queue of {target} grows",
                "dashboard_url": f"/d/e?var-target={target}",
            }
        manager.post(both)
        until(lambda: bool(hook.notifications), "the page")
        (event,) = hook.notifications
        assert event["payload"]["summary"] == "the queue of a:8000 grows (and 1 more)"
        assert [link["href"] for link in event["links"]] == ["https://grafana.example.com/d/e?var-target=a:8000"]
    finally:
        manager.part.stop()
        hook.close()


def test_every_inhibition_that_ships_is_tried() -> None:
    """Each source with each of its targets fires together in a case; and none of them silences a ticket."""
    rules = yaml.safe_load((COMPOSE / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    pairs = set()
    for rule in rules:
        source = rule["source_matchers"][0].split('"')[1]
        pattern = rule["target_matchers"][0].split('"')[1]
        prefix, _, choices = pattern.partition("(")
        pairs |= {(source, prefix + c) for c in choices.rstrip(")").split("|")} if choices else {(source, pattern)}
    tried = {(a, b) for case in CASES.values() for a in case.fire for b in case.fire}
    assert pairs <= tried
    assert {ALERT_RULES[target]["labels"]["severity"] for _, target in pairs} == {"critical"}
