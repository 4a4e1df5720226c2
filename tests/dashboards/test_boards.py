"""The dashboards as files: what Grafana needs of them, and what a reader does."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from dashboards.write import DASHBOARDS, to_json
from tests.dashboards.boards import NAMES, board, panels, queries, text

RULES = Path(__file__).resolve().parents[2] / "alerts" / "kvwatch.rules.yaml"
UNITS = {"reqps", "percentunit", "s", "short", "none"}


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_json_is_what_the_python_makes(name: str) -> None:
    """To change a dashboard, change its Python and run ``python -m dashboards``."""
    assert text(name) == to_json(DASHBOARDS[name]())


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_in_grafana_10_4(name: str) -> None:
    """The schema is that version's, and each panel is of a type that it has."""
    assert board(name)["schemaVersion"] == 39
    assert {panel["type"] for panel in panels(name)} <= {"stat", "timeseries", "table", "bargauge"}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_and_places_of_panels_are_their_own(name: str) -> None:
    """No two panels share a number, and none covers another or leaves the grid."""
    everything = [*panels(name), *(panel for panel in board(name)["panels"] if panel["type"] == "row")]
    assert max(Counter(panel["id"] for panel in everything).values()) == 1
    shown = [panel["gridPos"] for panel in board(name)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in shown)
    for one, other in combinations(shown, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows(name: str) -> None:
    """A panel has a title of its own, a description in words, its data source, and words for what is not known."""
    titles = Counter(panel["title"] for panel in panels(name))
    assert max(titles.values()) == 1
    for panel in panels(name):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_graph_has_a_unit(name: str) -> None:
    """Axes of graphs and lengths of bars are labelled in one of a few units."""
    graphs = [panel for panel in panels(name) if panel["type"] in ("timeseries", "bargauge")]
    assert graphs
    assert {panel["title"]: panel["fieldConfig"]["defaults"].get("unit") for panel in graphs}
    assert {panel["fieldConfig"]["defaults"].get("unit") for panel in graphs} <= UNITS


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_used_and_every_one_used_is_there(name: str) -> None:
    """No picker does nothing, and no query waits for one that is not there."""
    defined = {variable["name"] for variable in board(name)["templating"]["list"]}
    used = {found for _, expression in queries(name) for found in re.findall(r"\$\{?(\w+)", expression)}
    assert used - {"__rate_interval"} | {"datasource"} == defined


def test_the_top_row_answers_the_first_questions() -> None:
    """Verdict, load, room, when, how many replicas, what limits: the first row of either, and nothing else."""
    first = {name: [p["title"] for p in board(name)["panels"] if p["gridPos"]["y"] == 0] for name in NAMES}
    assert first["engine.json"] == ["Verdict", "Load", "Room", "Full in", "Replicas", "Limited by"]
    assert first["fleet.json"] == ["Worst engine", "Most loaded", "Full next", "Replicas to add", "Unreadable"]


def urls(node: Any) -> list[str]:
    """Every link in a dashboard."""
    if isinstance(node, dict):
        own = [node["url"]] if isinstance(node.get("url"), str) else []
        return own + [url for value in node.values() for url in urls(value)]
    return [url for value in node for url in urls(value)] if isinstance(node, list) else []


def leads_somewhere(url: str) -> bool:
    """Whether a link goes to one of the dashboards and sets only variables that it has."""
    parts = urlsplit(re.sub(r"\$\{(\w+):queryparam\}", r"var-\1=x", url))
    known = {f"/d/{board(name)['uid']}": name for name in NAMES}
    if parts.path not in known:
        return False
    variables = {variable["name"] for variable in board(known[parts.path])["templating"]["list"]}
    return {key.removeprefix("var-") for key in parse_qs(parts.query)} <= variables


def test_links_between_the_dashboards_lead_somewhere() -> None:
    """Each dashboard links to the other, and a link sets only variables that exist there."""
    for name in NAMES:
        found = [url for url in urls(board(name)) if url.startswith("/d/")]
        assert any(board(other)["uid"] in url for other in NAMES if other != name for url in found)
        assert [url for url in found if not leads_somewhere(url)] == []
    assert not leads_somewhere("/d/kvwatch-fleet?var-nothing=x")


def test_links_in_alerts_lead_to_the_dashboards() -> None:
    """The dashboard that an alert names exists, and so do the variables that the link sets."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    links = [rule["annotations"]["dashboard_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert links
    plain = [re.sub(r"\{\{.*?\}\}", "x", link) for link in links]
    assert [link for link in plain if not leads_somewhere(link)] == []


@pytest.mark.parametrize("name", NAMES)
def test_green_orange_and_red_are_kept_for_states(name: str) -> None:
    """No series is green or orange by name; red is for limits and losses."""
    fixed = [
        (panel["title"], prop["value"]["fixedColor"])
        for panel in panels(name)
        for override in panel["fieldConfig"]["overrides"]
        for prop in override["properties"]
        if prop["id"] == "color" and "fixedColor" in prop["value"]
    ]
    allowed = {("Replicas", "orange")}
    assert {pair for pair in fixed if pair[1] in {"green", "orange", "yellow"}} - allowed <= {
        (title, "yellow") for title, _ in fixed
    }
    palettes = {panel["fieldConfig"]["defaults"].get("color", {}).get("mode") for panel in panels(name)}
    assert "continuous-GrYlRd" not in palettes


@pytest.mark.parametrize("name", NAMES)
def test_no_number_has_a_colour_that_a_state_may_contradict(name: str) -> None:
    """Load, room and times have no green, orange or red: a state beside them may have another one."""
    numbers = {"Load", "Room", "Full in", "Most loaded", "Full next"}
    told = []
    for panel in panels(name):
        parts = {panel["title"]: [panel["fieldConfig"]["defaults"]]} if panel["title"] in numbers else {}
        for override in panel["fieldConfig"]["overrides"]:
            if override["matcher"]["options"] in numbers:
                parts.setdefault(override["matcher"]["options"], []).append(
                    {prop["id"]: prop["value"] for prop in override["properties"]}
                )
        for title, looks in parts.items():
            text = json.dumps([{key: look.get(key) for key in ("thresholds", "mappings")} for look in looks])
            told.append(title)
            assert not re.search(r'"(?:green|orange|red)"', text), title
    assert len(told) >= 3
