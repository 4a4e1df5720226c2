"""The report as one page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from urllib.parse import urlencode

from kvwatch import __version__
from kvwatch.backtest.charts import (
    SIDE_CSS,
    around_incident,
    around_page,
    models_of,
    overview,
    page_key,
    quiet_pages,
)
from kvwatch.backtest.incidents import Incident
from kvwatch.backtest.judge import HORIZON_SECONDS, Page
from kvwatch.backtest.lead_chart import MOST_ROWS, leads
from kvwatch.backtest.plot import figure
from kvwatch.backtest.report import Report, Side, model_name, timestamp
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.words import (
    cost_words,
    duration,
    headline,
    incident_facts,
    incident_title,
    lead_words,
    moment,
    once_or_more,
    page_words,
    rules_name,
    times,
)
from kvwatch.constants import HOUR_SECONDS, MINUTE_SECONDS
from kvwatch.paper.page import TABLE_END, table_head, whole_page

_MOST_CARDS = 60
"""Queues, and pages without one, that have a picture each [1]. Choice: a page of some megabytes; the table has all."""


def as_html(report: Report) -> str:
    """The page."""
    title = f"kvwatch backtest, {timestamp(report.span.start)[:10]} to {timestamp(report.span.end)[:10]}"
    parts = (_leads, _overviews, _queues, _quiet, _table, _by_alert, _coverage, _definitions)
    main = (line for part in parts for line in part(report))
    return whole_page(title, _head(report), main, f"Made by kvwatch {__version__} from {report.source}.")


def _head(report: Report) -> Iterator[str]:
    first, *rest = headline(report)
    engines = sum(c.engines for c in report.coverage)
    counted = f"{len(report.coverage)} server{'s' * (len(report.coverage) != 1)}"
    yield (
        f'<p class="brand"><b>kvwatch</b> backtest &middot; {duration(report.span.seconds)} from '
        f"{moment(report.span.start)} UTC &middot; {counted}, {engines} engine{'s' * (engines != 1)}</p>"
    )
    yield f"<h1>{escape(first).replace('kvwatch', '<em>kvwatch</em>', 1)}</h1>"
    yield from (f'<p class="lead">{escape(line)}</p>' for line in rest)
    yield '<div class="sides">'
    for place, side in enumerate(report.sides):
        yield from _side(side, SIDE_CSS[place], report)
    yield "</div>"


def _side(side: Side, css: str, report: Report) -> Iterator[str]:
    score, total = side.score, len(report.incidents)
    ahead = len(score.leads)
    lead = score.median_lead_seconds
    yield f'<section class="side {css}" aria-label="{escape(side.name)}"><h2>{escape(_side_title(side, css))}</h2>'
    yield '<dl class="numbers">'
    yield _number(
        f"{ahead}<small> of {total}</small>", "queues announced before they began", _tone(ahead == total, total)
    )
    yield _number(_short(lead) if lead is not None else "–", "median lead", "")
    yield _number(str(score.false), "pages for nothing", "bad" if score.false else "good")
    yield "</dl>"
    words = [f"Paged {once_or_more(score)}." if score.pages else "Paged never."]
    if score.missed:
        words.append(f"No page at all for {len(score.missed)} of {total} queues.")
    if side.warned:
        names = sorted({a.alert for a in side.warned})
        words.append(f"Warned without paging {times(len(side.warned))}: {', '.join(names)}.")
    yield f'<p class="soft">{escape(" ".join(words))}</p></section>'


def _short(seconds: float) -> str:
    """A duration in the one unit that matters, for large letters."""
    if seconds < 2 * MINUTE_SECONDS:
        return f"{seconds:.0f}<small> s</small>"
    if seconds < 2 * HOUR_SECONDS:
        return f"{seconds / MINUTE_SECONDS:.0f}<small> min</small>"
    return f"{seconds / HOUR_SECONDS:.1f}<small> h</small>"


def _side_title(side: Side, css: str) -> str:
    return "kvwatch" if css == "own" else f"Your rules: {side.name}"


def _tone(good: bool, total: int) -> str:
    return "" if not total else "good" if good else "bad"


def _number(value: str, name: str, css: str) -> str:
    return f'<div><dt>{escape(name)}</dt><dd class="{css}">{value}</dd></div>'


def _leads(report: Report) -> Iterator[str]:
    """Of each queue, how long before it somebody was paged."""
    if not report.incidents:
        return
    yield "<h2>Who knew when</h2>"
    more = "" if len(report.incidents) <= MOST_ROWS else f" The first {MOST_ROWS} of {len(report.incidents)} queues."
    yield (
        '<p class="soft">The first page about each queue, against the moment at which requests began to wait. Left of '
        f"the line there is still time to act; what was longer before is at the edge.{more}</p>"
    )
    yield leads(report)


def _overviews(report: Report) -> Iterator[str]:
    yield "<h2>All of the time</h2>"
    yield (
        '<p class="soft">ρ is how much of what the engines can sustain arrives; from 1 on a queue grows without end. '
        "The band is its 90% interval. Bars lead to what they stand for.</p>"
    )
    for number, model in enumerate(models_of(report), 1):
        yield f"<h3>{escape(model_name(model))}</h3>"
        yield figure(overview(report, report.timelines[model], number))


def _queues(report: Report) -> Iterator[str]:
    if not report.incidents:
        return
    yield "<h2>Each queue</h2>"
    yield (
        f'<p class="soft">Requests waited at an engine for {duration(report.queue_seconds)} or longer without a break. '
        "What each set of rules said, and what users felt.</p>"
    )
    for incident in report.incidents[:_MOST_CARDS]:
        yield from _queue(report, incident)
    if len(report.incidents) > _MOST_CARDS:
        yield f"<p>{len(report.incidents) - _MOST_CARDS} more are in the JSON report.</p>"


def _queue(report: Report, incident: Incident) -> Iterator[str]:
    yield f'<article id="queue-{incident.number}" aria-labelledby="queue-{incident.number}-h">'
    yield f'<h3 id="queue-{incident.number}-h">Queue {incident.number} &middot; {escape(incident_title(incident))}</h3>'
    yield '<ul class="chips">'
    for place, side in enumerate(report.sides):
        yield f'<li class="{SIDE_CSS[place]}"><b>{rules_name(place)}</b> {escape(lead_words(incident, side))}</li>'
    yield "</ul>"
    yield figure(around_incident(report, incident))
    yield '<dl class="facts">'
    yield from (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in incident_facts(incident))
    yield "</dl>"
    yield _moment_link(report, incident.spell)
    yield "</article>"


def _moment_link(report: Report, spell: Spell, words: str = "This moment in Prometheus") -> str:
    """A link to what that Prometheus has of the moment."""
    if report.prometheus is None:
        return ""
    seconds = max(round(spell.seconds) + 1800, 3600)
    query = {
        "g0.expr": 'sum by (model_name) ({__name__=~"(vllm:|ray_vllm_|vllm_)num_requests_(running|waiting)"})',
        "g0.tab": "0",
        "g0.range_input": f"{seconds}s",
        "g0.end_input": timestamp(spell.start + seconds - 900).replace("T", " ").rstrip("Z"),
    }
    return f'<p><a href="{escape(report.prometheus.rstrip("/"))}/graph?{escape(urlencode(query))}">{words}</a></p>'


def _quiet(report: Report) -> Iterator[str]:
    quiet = list(quiet_pages(report))
    if not quiet:
        return
    yield "<h2>Pages without a queue</h2>"
    yield (
        f'<p class="soft">No queue began while the page was out or within {duration(HORIZON_SECONDS)} of it. Where an '
        "engine was added meanwhile, that may be why.</p>"
    )
    for place, page in quiet[:_MOST_CARDS]:
        chart = around_page(report, place, page)
        key = page_key(place, page)
        name = "kvwatch" if place == 0 else "Your rules"
        yield f'<article id="{key}" aria-labelledby="{key}-h"><h3 id="{key}-h">{name}, page {page.number} &middot; '
        yield f"{escape(model_name(page.model))}: {escape(page_words(page))}</h3>"
        if chart is not None:
            yield figure(chart)
        yield _moment_link(report, page.spell)
        yield "</article>"


def _table(report: Report) -> Iterator[str]:
    carded = {page_key(place, page) for place, page in list(quiet_pages(report))[:_MOST_CARDS]}
    rows = [(page, place) for place, side in enumerate(report.sides) for page in side.pages]
    if not rows:
        return
    yield "<h2>Every page</h2>"
    yield table_head("Every page", "rules", "began (UTC)", "lasted", "model", "alerts", "what became of it")
    for page, place in sorted(rows, key=lambda row: (row[0].spell, row[1])):
        key = page_key(place, page)
        own_row = "" if key in carded else f' id="{key}"'
        yield (
            f'<tr{own_row}><td class="once"><span class="dot {SIDE_CSS[place]}"></span>'
            f"{'kvwatch' if place == 0 else 'yours'}</td>"
            f'<td class="once">{_linked(report, page, key, carded)}</td>'
            f'<td class="once">{duration(page.spell.seconds)}</td>'
            f"<td>{escape(model_name(page.model))}</td><td>{escape(', '.join(page.alerts))}</td>"
            f"<td>{escape(page_words(page))}</td></tr>"
        )
    yield TABLE_END


def _linked(report: Report, page: Page, key: str, carded: set[str]) -> str:
    """A page's moment, leading to its picture."""
    shown = page.incident is not None and page.incident <= min(len(report.incidents), _MOST_CARDS)
    target = f"#queue-{page.incident}" if shown else f"#{key}" if key in carded else ""
    words = moment(page.spell.start)
    return f'<a href="{target}">{words}</a>' if target else words


def _by_alert(report: Report) -> Iterator[str]:
    if report.yours is None:
        return
    yield "<h2>Your alerts, one by one</h2>"
    yield table_head("Your alerts", "alert", "did")
    for name, score in sorted((report.yours.by_alert or {}).items()):
        did = f"paged {once_or_more(score)}" if score.pages else "did not fire"
        yield f"<tr><td>{escape(name)}</td><td>{escape(did)}</td></tr>"
    for name, reason in report.yours.not_evaluated:
        yield f"<tr><td>{escape(name)}</td><td>could not be evaluated: {escape(reason)}</td></tr>"
    yield TABLE_END


def _coverage(report: Report) -> Iterator[str]:
    yield "<h2>What there was to look at</h2>"
    yield from (f"<p>{escape(cost_words(cost))}</p>" for cost in report.costs)
    yield table_head(
        "Servers", "server", "scraped every", "scrapes", "failed", "gaps", "restarts", "time with a valid ρ", numbers=1
    )
    for c in report.coverage:
        gaps = f"{c.gap_count}, {duration(c.gap_seconds)}" if c.gap_count else "0"
        judged = "–" if c.judged_ratio is None else f"{c.judged_ratio:.0%}"
        cells = (f"{c.interval_seconds:.3g} s", str(c.scrapes), str(c.failed), gaps, str(c.restarts), judged)
        numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        yield f"<tr><td>{escape(c.name)}</td>{numbers}</tr>"
    yield TABLE_END


def _definitions(report: Report) -> Iterator[str]:
    yield "<h2>How to read it</h2>"
    yield (
        f"<p>A queue counts from the moment at which requests begin to wait at an engine, if they do for "
        f"{duration(report.queue_seconds)} or longer without a break. A page is <b>before</b> a queue if the queue "
        f"begins while the page is out or within {duration(HORIZON_SECONDS)} of its beginning, <b>after</b> it if "
        "requests wait already, and <b>false</b> if neither, and no engine was added. Alerts about one model that are "
        "no more than five minutes apart are one page.</p>"
    )
    yield (
        "<p>kvwatch has read the samples with the times at which they were scraped, in the order of time, as it would "
        "have live; its alerts are those that ship. Latencies are those of vLLM's own histograms over a minute, and as "
        "fine as their buckets. Nothing here looks into the future: no number was known later than the moment that it "
        "stands at.</p>"
    )
