"""How many replicas, how close, how much can be served: one number wherever one looks, and none where there is none.

Held together are the gauges, the JSON, what the page is sent, ``kvwatch status``, the recording rules and the words of
the pages, the dashboards' queries, and what KEDA and an HPA follow; at every evaluation of a story from calm over an
overload to a metric that stops coming.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvwatch.export.sentences import action
from kvwatch.export.summary import summarize
from kvwatch.export.words import rate
from tests.alerts import courses
from tests.alerts.promtool import PAGES, run, texts
from tests.alerts.story import ENDS, EVALUATION_SECONDS, MODEL, story
from tests.alerts.told import SCRAPED_AS, Told, adapter_query, dashboard_query, keda_query
from tests.export.test_summary import RISING, document

CLOSE = 1e-9
"""What two sums of the same numbers in another order differ by, relative to them."""
REPLICAS = {
    "recording rule": "model:kvwatch_replicas_required:hold5m",
    "fleet dashboard, table": dashboard_query("fleet.json", "Models, the most urgent first", "E")
    + " + "
    + dashboard_query("fleet.json", "Models, the most urgent first", "D"),
    "KEDA in a fleet of shards": keda_query("fleet-shards"),
    "KEDA beside sidecars": keda_query("sidecar-keda"),
    "HPA of a fleet": adapter_query("fleet"),
    "HPA beside sidecars": adapter_query("sidecar"),
}
"""Queries that ask how many replicas the story's model needs."""


@cache
def told() -> tuple[Told, ...]:
    """The whole story, evaluation after evaluation."""
    return tuple(Told.of(at, view) for at, view in story())


@pytest.mark.long
def test_the_story_has_what_it_is_told_for() -> None:
    """Numbers in each part but the last, which ends without any; more replicas needed than there are; a queue."""
    states = {at: {row["state"] for row in one.rows.values()} for one in told() for at in (one.at,)}
    seen = set().union(*states.values())
    assert {"warming_up", "fine", "overloaded", "draining", "unknown"} <= seen
    required = [one.model.get("replicas_required") for one in told()]
    assert max(number for number in required if number is not None) >= 4.0
    assert required[0] is None
    assert required[-1] is None


@pytest.mark.long
def test_gauges_json_page_and_status_have_the_same_numbers_or_none_of_them() -> None:
    """To the digit, and to the page's three decimals; each from what is written down, not from the view."""
    for one in told():
        for engine in one.engines:
            own = {name: engine[name] for name in ("target", "model_name", "engine")}
            row, detail = one.rows[own["target"]], one.details[own["target"]]
            (summary,) = (s for s in one.look.engines if s.target == own["target"])
            required = engine.get("replicas_required")
            load, mu = engine.get("utilization", {}).get("1m"), engine.get("service_rate")
            where = f"{own['target']} at {one.at} s"
            assert one.sample("kvwatch_replicas_required", model_name=MODEL, role="") == required, where
            assert one.keda_metrics_api() == required, where
            assert one.model.get("replicas_required") == required, where
            assert (row.get("replicas_required"), row.get("replicas")) == (required, one.model.get("replicas")), where
            assert (summary.replicas_required, summary.replicas) == (required, one.model.get("replicas")), where
            assert one.sample("kvwatch_utilization", window="1m", **own) == load, where
            assert (row.get("load"), summary.load) == (_rounded(load), load), where
            assert detail.get("utilization", {}).get("1m") == load, where
            assert one.sample("kvwatch_service_rate", **own) == mu, where
            assert (row.get("service_rate"), summary.service_rate) == (_rounded(mu), mu), where
            assert detail.get("service_rate") == mu, where


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def test_a_number_that_is_not_there_has_one_reason_everywhere() -> None:
    """In the gauge, the JSON, the page's document and the doubts that page and status name in words."""
    missing = 0
    for one in told():
        for engine in one.engines:
            own = {name: engine[name] for name in ("target", "model_name", "engine")}
            verdict = engine["estimate_valid"]["utilization"]
            reasons = {"estimate": "utilization", "reason": verdict["reason"]}
            assert one.sample("kvwatch_estimate_valid", **own, **reasons) == verdict["valid"]
            assert one.details[own["target"]]["estimate_valid"]["utilization"] == verdict
            if engine.get("utilization"):
                continue
            missing += 1
            (summary,) = (s for s in one.look.engines if s.target == own["target"])
            assert summary.why == verdict["words"]
            assert list(summary.doubts) == one.rows[own["target"]]["doubts"]
            if verdict["reason"] not in ("warming_up", "depends"):
                assert verdict["words"] in summary.doubts
    assert missing > 100


def test_the_status_line_reads_as_the_numbers_are() -> None:
    """λ of μ, the load, and the replicas where there are too few."""
    asked = 0
    for one in told():
        for engine, line in zip(_by_target(one), _lines(one), strict=True):
            load, mu = engine.get("utilization", {}).get("1m"), engine.get("service_rate")
            if load is None or mu is None:
                assert "%)" not in line
                continue
            assert line.startswith(f"{rate(engine['arrival_rate']['1m'])} of {rate(mu)} req/s ({load:.0%})")
            if "replicas needed" in line:
                asked += 1
                required, there = engine["replicas_required"], one.model["replicas"]
                assert re.search(rf"{required:.0f} replicas needed( \(.*\))?, {there:.0f} now", line)
    assert asked > 20


def _by_target(one: Told) -> list[dict[str, Any]]:
    return sorted(one.engines, key=lambda engine: str(engine["target"]))


def _lines(one: Told) -> list[str]:
    found = yaml.safe_load(one.look.json())["engines"]
    return [engine["line"] for engine in sorted(found, key=lambda engine: str(engine["target"]))]


@pytest.mark.prometheus
def test_rules_dashboards_and_autoscalers_have_the_same_numbers_or_none_of_them(tmp_path: Path) -> None:
    """Replicas, μ and ρ of a real Prometheus' evaluation of what ships, at every evaluation, absent with the gauge."""
    expected: list[dict[str, object]] = []
    for one in told():
        required = one.model.get("replicas_required")
        expected += [_same(query, one.at, required) for query in REPLICAS.values()]
        service = one.model.get("model_service_rate")
        expected.append(_same("model:kvwatch_service_rate:sum", one.at, service))
        expected.append(_same(dashboard_query("fleet.json", "Models, the most urgent first", "H"), one.at, service))
        expected.append(_same("model:kvwatch_utilization:ratio1m", one.at, _load(one)))
        expected.append(_same("model:kvwatch_target_up:count", one.at, one.model.get("replicas")))
        expected += [_same(_busiest(one), one.at, _highest(one))]
    assert run(tmp_path, _given(), EVALUATION_SECONDS, expected) == ""


def _busiest(one: Told) -> str:
    """The dashboard's load of the busiest engine; where the last minute is unknown it falls back on other windows."""
    query = dashboard_query("fleet.json", "Engines", "B")
    return f"max({query})" if _highest(one) is not None else 'max(kvwatch_utilization{window="1m"})'


def _highest(one: Told) -> float | None:
    """The largest share of its limit of an engine; a limit that is only a bound counts as 1."""
    rows = [row["load"] for row in one.rows.values() if "load" in row]
    if len(rows) < len(one.rows) or any(row["limit"] != 1.0 for row in one.rows.values()):
        return None
    return float(max(engine["utilization"]["1m"] for engine in one.engines))


def _load(one: Told) -> float | None:
    """ρ of the model over the last minute, of the engines whose μ is known."""
    known = [
        (engine["utilization"]["1m"], engine["service_rate"])
        for engine in one.engines
        if "1m" in engine.get("utilization", {}) and "service_rate" in engine
    ]
    total = sum(mu for _, mu in known)
    return sum(load * mu for load, mu in known) / total if known else None


@pytest.mark.prometheus
def test_the_words_of_a_page_have_the_numbers_of_that_minute_and_ask_for_what_the_live_page_asks_for(
    tmp_path: Path,
) -> None:
    """At each minute of the ramp and the overload: λ, μ, ρ, the queue, and how many replicas to add."""
    moments = [one for one in told() if ENDS["calm"] < one.at <= ENDS["overload"] and one.at % 60 == 0]
    said_at = texts(tmp_path, _given(), EVALUATION_SECONDS, [one.at for one in moments])
    asked = 0
    for one in moments:
        for name in PAGES:
            page = said_at.get((name, one.at))
            load = _load(one)
            if page is None or load is None or "back below the limit" in page["description"]:
                continue
            arrives = sum(engine["arrival_rate"]["1m"] for engine in one.engines)
            serves = one.model["model_service_rate"]
            said = page["description"]
            assert (
                f"{arrives:.2f} requests/s arrive and {serves:.2f} can be served, a load of {100 * load:.0f}%" in said
            ), said
            assert f"Replicas that serve: {one.model['replicas']:.0f}." in said
            required, there = one.model["replicas_required"], one.model["replicas"]
            more = f"add {required - there:.0f} replica" if required > there else "start one more replica"
            assert f"To do: {more}" in said, said
            asked += required > there
            _agrees_with_the_live_page(one, required, there)
    assert asked > 10


@pytest.mark.prometheus
def test_a_page_that_comes_before_the_number_rises_asks_for_one_more_as_the_live_page_does(tmp_path: Path) -> None:
    """A ramp that pages while the number of the only kvwatch still is the one replica that there is."""
    ramp = [0.5] * 60 + [0.5 + 0.01 * minute for minute in range(40)]
    given = [
        *courses.engine(ramp),
        courses.series("kvwatch_replicas_required", {"instance": "k", "model_name": "m"}, [1.0] * 100),
        courses.series("kvwatch_model_engines", {"instance": "k", "model_name": "m", "state": "serving"}, [1.0] * 100),
    ]
    said_at = texts(tmp_path, given, 60, range(70 * 60, 100 * 60, 60))
    page = said_at["KvwatchSaturationApproaching", 95 * 60]
    rising = document("approaching", replicas_required=1.0, **RISING)
    told_live = action(summarize(rising, {"replicas": 1.0})) or ""
    assert told_live == "Start one more replica (an autoscaler would not do so yet)."
    do = told_live[0].lower() + told_live[1:]
    assert page["summary"].endswith(f", before a new replica would serve: {do.rstrip('.')}")
    assert f"To do: {do}" in page["description"]


def _agrees_with_the_live_page(one: Told, required: float, there: float) -> None:
    for row in one.rows.values():
        action = row.get("action", "")
        if required > there and row["state"] in ("approaching", "saturated", "overloaded", "standing"):
            assert f"un {required:.0f} replicas instead of {there:.0f}" in action, action
        assert "Run" not in action or required > there


def _same(query: str, at: int, value: float | None) -> dict[str, object]:
    """That a query has this value, to the rounding of sums, or no answer."""
    whole = f"max({query})"
    if value is None:
        return {"expr": whole, "eval_time": f"{at}s", "exp_samples": []}
    test = f"abs({whole} - {value!r}) < bool {CLOSE * max(abs(value), 1.0)!r}"
    return {"expr": test, "eval_time": f"{at}s", "exp_samples": [{"labels": "{}", "value": 1}]}


def _given() -> list[dict[str, str]]:
    """All that kvwatch exported, as a Prometheus has it that scraped at each evaluation; the first is at 15 s."""
    names = dict.fromkeys(name for one in told() for name in one.samples)
    up = ",".join(f'{label}="{value}"' for label, value in SCRAPED_AS.items())
    return [
        *(
            {"series": name, "values": " ".join(["stale", *(_value(one.samples.get(name)) for one in told())])}
            for name in names
        ),
        {"series": f"up{{{up}}}", "values": f"1+0x{len(told())}"},
    ]


def _value(sample: float | None) -> str:
    return "stale" if sample is None else repr(sample)
