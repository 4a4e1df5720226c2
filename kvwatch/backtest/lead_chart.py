"""When whoever is on call heard of each queue: a row for each, which begins in the middle, with a dot for a page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from kvwatch.backtest.incidents import Incident
from kvwatch.backtest.judge import HORIZON_SECONDS
from kvwatch.backtest.plot import LEFT, NARROW_WIDTH, RIGHT, WIDTH, scale
from kvwatch.backtest.report import Report, model_name
from kvwatch.backtest.words import first_page, lead_words, moment, rules_name
from kvwatch.constants import MINUTE_SECONDS

MOST_ROWS = 30
"""Queues that have a row [1]. Choice: as many as fit on a screen; the others have their picture below."""
_ROW, _TOP, _BOTTOM = 64.0, 30.0, 28.0
"""Height of a row, of the words above the rows and of the axis [px]."""
_TICK_MINUTES = (-30, -20, -10, 0, 10, 20, 30)
"""Places of the axis [min]."""
_LETTER = 7.0
"""Width of a letter of the rows' words [px]. Choice: a broad one's, so that words never run out of the picture."""


def leads(report: Report) -> str:
    """The picture for a desk and for a phone; nothing where there was no queue."""
    if not report.incidents:
        return ""
    return (
        f'<figure><div class="wide">{_svg(report, WIDTH, "leads")}</div>'
        f'<div class="narrow">{_svg(report, NARROW_WIDTH, "leads-narrow")}</div></figure>'
    )


def _svg(report: Report, width: float, key: str) -> str:
    rows = report.incidents[:MOST_ROWS]
    bottom = _TOP + _ROW * len(rows)
    left = LEFT / 2
    x = scale(-HORIZON_SECONDS, HORIZON_SECONDS, left, width - RIGHT)
    told = "; ".join(_told(report, incident) for incident in rows)
    parts = [
        f'<rect class="ahead" x="{left}" y="{_TOP}" width="{x(0) - left:.1f}" height="{bottom - _TOP:.1f}"/>',
        f'<rect class="shade" x="{x(0):.1f}" y="{_TOP}" width="{x(HORIZON_SECONDS) - x(0):.1f}" '
        f'height="{bottom - _TOP:.1f}"/>',
        f'<text class="mark good end" x="{x(0) - 10:.1f}" y="18">nobody waits yet</text>',
        f'<text class="mark bad start" x="{x(0) + 10:.1f}" y="18">users wait</text>',
    ]
    for minutes in _TICK_MINUTES:
        at = x(minutes * MINUTE_SECONDS)
        words = f"{minutes:+d} min".replace("-", "−") if minutes else "queue"
        shown = width > NARROW_WIDTH or minutes in {-20, 0, 20}
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom:.1f}"/>')
        if shown:
            anchor = "end" if minutes == _TICK_MINUTES[-1] else "mid"
            parts.append(f'<text class="tick {anchor}" x="{at:.1f}" y="{bottom + 18:.1f}">{words}</text>')
    parts.append(f'<line class="mark bad" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_TOP - 8}" y2="{bottom:.1f}"/>')
    for place, incident in enumerate(rows):
        parts += _row(report, incident, _TOP + _ROW * place, width)
    return (
        f'<svg class="chart leads" viewBox="0 0 {width:.0f} {bottom + _BOTTOM:.0f}" role="group" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">When each queue was paged about</title>'
        f'<desc id="{key}-d">{escape(told)}.</desc>{"".join(parts)}</svg>'
    )


def _told(report: Report, incident: Incident) -> str:
    said = ", ".join(f"{rules_name(place)} {lead_words(incident, side)}" for place, side in enumerate(report.sides))
    return f"queue {incident.number}: {said}"


def _row(report: Report, incident: Incident, top: float, width: float) -> Iterator[str]:
    """A queue's name, and for each set of rules a line from its first page to the queue."""
    x = scale(-HORIZON_SECONDS, HORIZON_SECONDS, LEFT / 2, width - RIGHT)
    name = f"{incident.number} · {model_name(incident.model)}"
    if width > NARROW_WIDTH:
        name = f"{name}, {moment(incident.spell.start)}"
    yield f'<line class="grid" x1="{LEFT / 2}" x2="{width - RIGHT}" y1="{top}" y2="{top}"/>'
    words = f'<text class="row" x="{LEFT / 2 + 6}" y="{top + 18}">{escape(name)}</text>'
    yield f'<a href="#queue-{incident.number}">{words}</a>'
    for place, side in enumerate(report.sides):
        page, css = first_page(incident, side), ("own", "yours")[place]
        y = top + 34 + 18 * place
        if page is None:
            words = f"no page of {rules_name(place)}"
            yield f'<text class="mark {css} end" x="{width - RIGHT - 4}" y="{y + 4}">{words}</text>'
            continue
        lead = incident.spell.start - page.spell.start
        at = x(min(max(-lead, -HORIZON_SECONDS), HORIZON_SECONDS))
        yield f'<line class="lead {css}" x1="{at:.1f}" x2="{x(0):.1f}" y1="{y}" y2="{y}"/>'
        yield f'<circle class="dot {css}" cx="{at:.1f}" cy="{y}" r="5"/>'
        words = lead_words(incident, side)
        if width > NARROW_WIDTH:
            words = f"{rules_name(place)} {words}"
        # beside the line where there is room, else beyond the queue's beginning
        before = lead > 0
        room = at - LEFT / 2 if before else width - RIGHT - at
        if room < _LETTER * len(words):
            before, at = not before, x(0)
        anchor, shift = ("end", -11) if before else ("start", 11)
        yield f'<text class="mark {css} {anchor}" x="{at + shift:.1f}" y="{y + 4}">{words}</text>'
