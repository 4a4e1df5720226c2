"""The report: what it says in words, as JSON, as Markdown and as a page."""

from __future__ import annotations

import re
from dataclasses import replace

import html5lib
import numpy as np
import orjson
import pytest

from kvwatch.backtest.html import as_html
from kvwatch.backtest.judge import score
from kvwatch.backtest.markdown import as_markdown
from kvwatch.backtest.report import Report, as_json
from kvwatch.backtest.words import duration, headline
from tests.backtest.conftest import minute


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45, "45 s"),
        (135, "2 min 15 s"),
        (1234, "20 min"),
        (5400, "1 h 30 min"),
        (604800, "7 d"),
        (-60, "1 min"),
    ],
)
def test_durations_have_the_two_units_that_matter(seconds: float, words: str) -> None:
    """Nobody reads the seconds of an hour."""
    assert duration(seconds) == words


def test_the_headline_says_who_paged_when(report: Report) -> None:
    """Every page has its place in the sentence, and those for nothing are always named."""
    own, yours = headline(report)
    assert own == "kvwatch would have paged twice: 1 before the queue (median lead 6 min), false: 1."
    assert yours == "Your rules paged twice: 2 after the queue, false: 0."


def test_the_headline_of_a_single_page_says_how_far_it_was_from_the_queue(report: Report) -> None:
    """One page is a sentence, and no statistics."""
    one = replace(report.own, pages=report.own.pages[1:], score=score(report.own.pages[1:], report.incidents))
    assert headline(replace(report, own=one))[0] == "kvwatch would have paged once, 6 min before the queue; false: 0."


def test_silence_is_said_with_the_queues_that_it_missed(report: Report) -> None:
    """No page is good news only where nothing happened."""
    none = replace(report.own, pages=(), score=score((), report.incidents))
    assert headline(replace(report, own=none))[0] == "kvwatch would have paged never, while requests queued twice."
    calm = replace(report, own=replace(none, score=score((), ())), incidents=(), yours=None)
    assert headline(calm)[-1] == "No requests queued for 2 min or longer."


def test_the_json_has_every_page_and_every_queue_with_its_moment(report: Report) -> None:
    """It survives a round trip, and times are RFC 3339."""
    document = orjson.loads(orjson.dumps(as_json(report), option=orjson.OPT_SERIALIZE_NUMPY))
    first, second = document["incidents"]
    assert (first["start"], first["seconds"]) == ("2025-10-09T09:53:20Z", 1200.0)
    assert second["model"] == {"namespace": "prod", "model_name": "qwen"}
    own, yours = document["sides"]
    assert [page["outcome"] for page in own["paged"]] == ["false", "before"]
    assert own["paged"][1]["alerts"] == ["KvwatchSaturationApproaching", "KvwatchOverloaded"]
    assert own["median_lead_seconds"] == 360.0
    assert yours["not_evaluated"] == {"Broken": "nothing is kept of some_metric in that time"}
    assert document["servers"][0]["judged_ratio"] == pytest.approx(650 / 700)


def test_the_markdown_has_whole_tables(report: Report) -> None:
    """Each row of a table has as many cells as its head."""
    rows = [line for line in as_markdown(report).splitlines() if line.startswith("|")]
    tables: list[list[str]] = []
    for row in rows:
        if re.match(r"^\| -", row):
            tables[-1].append(row)
        elif not tables or row.count("|") != tables[-1][0].count("|"):
            tables.append([row])
        else:
            tables[-1].append(row)
    assert len(tables) >= 3
    assert "6 min before" in as_markdown(report)


def test_the_page_is_valid_html_and_asks_for_nothing(report: Report) -> None:
    """A strict parser finds no fault, and nothing is fetched: it can be opened anywhere, for ever."""
    page = as_html(report)
    html5lib.HTMLParser(strict=True).parse(page)
    assert not re.findall(r"<(?:script|link|img|iframe)|@import|url\(", page)


def test_every_link_within_the_page_leads_somewhere(report: Report) -> None:
    """Pages lead to their moment: to the queue's picture, or to their own."""
    page = as_html(report)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(ids)
    assert {"queue-1", "queue-2", "own-page-1", "own-page-2", "yours-page-1", "yours-page-2"} <= set(ids)


def test_names_from_outside_are_text(report: Report) -> None:
    """A rule file may call its alerts what it likes."""
    page = as_html(report)
    assert "Waiting &lt;10&gt;" in page
    assert "<10>" not in page
    assert "<rules>" not in page


def test_a_moment_leads_to_that_prometheus(report: Report) -> None:
    """From a recording there is none to lead to."""
    assert "http://prometheus:9090/graph?g0.expr=" in as_html(report)
    assert "/graph?" not in as_html(replace(report, prometheus=None))


def test_curves_have_holes_where_nothing_is_known(report: Report) -> None:
    """A gap is no line from its one end to the other."""
    line = next(iter(report.timelines.values()))
    hole = (line.at > minute(100)) & (line.at < minute(110))
    whole = as_html(report).count('<polyline class="line own"')
    for curve in line.curves.values():
        curve[hole] = np.nan
    assert as_html(report).count('<polyline class="line own"') == whole + 2  # on a desk and on a phone


def test_a_report_without_rules_of_the_users_has_one_side(report: Report) -> None:
    """Nothing on the page speaks of rules that nobody gave."""
    page = as_html(replace(report, yours=None))
    assert "our rules" not in page
    html5lib.HTMLParser(strict=True).parse(page)
