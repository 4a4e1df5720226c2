"""The plan as a page."""

from __future__ import annotations

import re
from dataclasses import replace

import html5lib

from kvwatch.planning.html import as_html
from kvwatch.planning.latency_plot import latency_plot
from kvwatch.planning.plan import Plan
from kvwatch.planning.words import number
from tests.planning.conftest import latencies


def text(page: str) -> str:
    """What is read of a page, in one line."""
    return " ".join("".join(html5lib.parse(page, namespaceHTMLElements=False).itertext()).split())


def test_the_page_is_valid_html_and_asks_for_nothing(plan: Plan) -> None:
    """A strict parser finds no fault, and nothing is fetched: it can be opened anywhere, for ever."""
    page = as_html({"prefill": plan, "decode": plan})
    html5lib.HTMLParser(strict=True).parse(page)
    assert not re.findall(r"<(?:script|link|img|iframe)|@import|url\(|(?:src|href)=", page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) == 2


def test_the_page_has_the_numbers_of_the_plan(plan: Plan) -> None:
    """Replicas for each load, the latency at the load that is planned for, gains with what they leave."""
    shown = text(as_html({"": plan}))
    for replicas in plan.replicas:
        assert number(replicas) in shown
    assert plan.load == 0.8
    assert "to the first token then, 95th percentile200 ms" in shown
    assert "--max-num-seqs 128+31%" in shown
    fewer = -(-100.0 // (plan.service_rate * 1.31 * 0.8))
    assert f"+31% {fewer:.0f}" in shown
    assert "outputs a fifth longer−16%" in shown


def test_it_says_what_is_measured_and_what_only_assumed(plan: Plan) -> None:
    """What is measured comes first, and words from outside are text."""
    page = as_html({"": plan})
    shown = text(page)
    places = [shown.index(words) for words in ("traffic measured", "model data sheet", "step time assumed")]
    assert places == sorted(places)
    assert "Nobody has measured this engine" in shown
    assert "<more>" not in page
    assert "8.0 billion weights & <more>" in shown


def test_a_target_out_of_reach_is_said_and_has_no_load(plan: Plan) -> None:
    """No replicas, no latency at a load that is none, and no line at it."""
    none = replace(plan, load=0.0, replicas=tuple(replace(r, number=None) for r in plan.replicas))
    page = as_html({"": none})
    assert "No number of replicas keeps to the latency that is asked for." in text(page)
    assert "first token then" not in text(page)
    assert 'class="kept"' not in page


def test_the_axis_of_a_latency_reaches_beyond_all_that_is_drawn() -> None:
    """With at least two numbers on it, the target among what must fit."""
    curve = [latencies(load) for load in (0.1, 0.5, 0.9)]
    picture = latency_plot("wait", curve, lambda point: point.wait_seconds, 0.5, target_seconds=2.0)
    named = re.findall(r'class="tick end"[^>]*>([^<]+)<', picture)
    assert named[0] == "10 ms"
    assert named[-1] == "10.0 s"
    inside = [float(y) for points in re.findall(r'points="([^"]+)"', picture) for y in re.findall(r",([\d.]+)", points)]
    assert all(14 <= y <= 210 for y in inside)
    narrow = latency_plot("itl", curve, lambda point: point.between_seconds, 0.5)
    assert len(re.findall(r'class="tick end"', narrow)) >= 2
