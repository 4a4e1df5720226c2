"""What is drawn of a report: all of the time for each model, and the moments around each queue and each page."""

from __future__ import annotations

from collections.abc import Iterable

from kvwatch.backtest.incidents import Incident
from kvwatch.backtest.judge import Outcome, Page
from kvwatch.backtest.plot import Chart, Curve, Lane, Mark, Panel
from kvwatch.backtest.report import Report, model_name
from kvwatch.backtest.spells import Spell
from kvwatch.backtest.timeline import Model, Timeline
from kvwatch.backtest.words import (
    duration,
    first_page,
    incident_title,
    lead_words,
    moment,
    page_words,
    rules_name,
)
from kvwatch.constants import MINUTE_SECONDS

SIDE_CSS = ("own", "yours")
_AROUND_SECONDS = 10 * MINUTE_SECONDS
"""Time that is shown before and after a moment [s]. Choice: enough to see from where the load came."""
_MOST_BEFORE_SECONDS = 90 * MINUTE_SECONDS
"""How far back a picture of a queue begins at most [s]. Choice: a page that stood for hours must not squeeze it."""


def page_key(side: int, page: Page) -> str:
    """The name of a page's place in the report."""
    return f"{SIDE_CSS[side]}-page-{page.number}"


def overview(report: Report, timeline: Timeline, number: int) -> Chart:
    """ρ and the queue of a model over all of the time, with bars for queues and pages."""
    model = timeline.model
    queues = tuple(
        (i.spell, f"#queue-{i.number}", f"Queue {i.number}: {incident_title(i)}")
        for i in report.incidents
        if i.model == model
    )
    lanes = [Lane("queue", "bad", queues)]
    for place, side in enumerate(report.sides):
        bars = tuple(
            (p.spell, f"#{page_key(place, p)}", f"{side.name}, page {p.number}: {page_words(p)}")
            for p in side.pages
            if p.model in (None, model)
        )
        lanes.append(Lane("kvwatch" if place == 0 else "yours", SIDE_CSS[place], bars))
    return Chart(
        key=f"overview-{number}",
        title=f"{model_name(model)} over all of the time",
        text="Utilization and requests waiting, with bars for queues and for the pages of each set of rules.",
        span=report.span,
        at=timeline.at,
        panels=(_utilization(timeline, 150.0), _waiting(timeline, 70.0)),
        lanes=tuple(lanes),
    )


def around_incident(report: Report, incident: Incident) -> Chart:
    """The moments around a queue."""
    timeline = report.timelines[incident.model]
    marks = [Mark(incident.spell.start, "requests begin to wait", "bad")]
    first = incident.spell.start
    for place, side in enumerate(report.sides):
        page = first_page(incident, side)
        if page is not None:
            said, when = "kvwatch pages" if place == 0 else "your rules page", lead_words(incident, side)
            words, link = f"{said}: {page.alerts[0]}, {when}", f"#{page_key(place, page)}"
            marks.append(Mark(page.spell.start, words, SIDE_CSS[place], link, f"{rules_name(place)}: {when}"))
            first = min(first, page.spell.start)
    start = max(first, incident.spell.start - _MOST_BEFORE_SECONDS) - _AROUND_SECONDS
    shown = tuple(m for m in marks if m.at >= start)
    return _moments(report, timeline, f"queue-{incident.number}-chart", Spell(start, incident.spell.end), shown)


def around_page(report: Report, side: int, page: Page) -> Chart | None:
    """The moments around a page that no queue followed; ``None`` where nothing is known of its model."""
    model = page.model if page.model is not None else next(iter(report.timelines), None)
    if model is None:
        return None
    name = "kvwatch pages" if side == 0 else "your rules page"
    mark = Mark(page.spell.start, f"{name}: {', '.join(page.alerts)}", SIDE_CSS[side], short=name)
    span = Spell(page.spell.start - _AROUND_SECONDS, page.spell.end)
    return _moments(report, report.timelines[model], f"{page_key(side, page)}-chart", span, (mark,))


def quiet_pages(report: Report) -> Iterable[tuple[int, Page]]:
    """Pages that no queue belongs to, with the number of their side."""
    for place, side in enumerate(report.sides):
        for page in side.pages:
            if page.outcome in {Outcome.FALSE, Outcome.AVERTED, Outcome.OPEN}:
                yield place, page


def _moments(report: Report, timeline: Timeline, key: str, span: Spell, marks: tuple[Mark, ...]) -> Chart:
    span = Spell(max(span.start, report.span.start), min(span.end + _AROUND_SECONDS, report.span.end))
    words = "; ".join(f"{moment(m.at, date=False)} UTC {m.words}" for m in sorted(marks, key=lambda m: m.at))
    return Chart(
        key=key,
        title=f"{model_name(timeline.model)}, {duration(span.seconds)} from {moment(span.start)} UTC",
        text=f"Utilization, requests waiting and time to the first token. {words}.",
        span=span,
        at=timeline.at,
        panels=(_utilization(timeline, 140.0), _waiting(timeline, 84.0), _first_token(timeline)),
        marks=marks,
        shaded=tuple(i.spell for i in report.incidents if i.model == timeline.model),
    )


def _utilization(timeline: Timeline, height: float) -> Panel:
    c = timeline.curves
    return Panel(
        "ρ: arrivals over what can be served",
        (
            Curve(c["utilization_lower"], "own", "band", c["utilization_upper"]),
            Curve(c["utilization"], "own"),
        ),
        height,
        least_top=1.2,
        rule=1.0,
    )


def _waiting(timeline: Timeline, height: float) -> Panel:
    return Panel("requests waiting", (Curve(timeline.curves["waiting"], "bad", "area"),), height, 4.0)


def _first_token(timeline: Timeline) -> Panel:
    return Panel("p95 time to first token [s]", (Curve(timeline.curves["ttft_p95"], "ink"),), 70.0)


def models_of(report: Report) -> list[Model]:
    """Models in the order in which they are shown: those with queues first."""
    troubled = {i.model for i in report.incidents}
    return sorted(report.timelines, key=lambda m: (m not in troubled, m))
