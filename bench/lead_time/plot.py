"""Distributions as SVG: leads by ramp length, and false pages by load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10

from bench.lead_time.judge import KVWATCH, Judged
from bench.lead_time.scenarios import NEAR_LOAD, RAMP_MINUTES, STABLE_LOADS
from bench.lead_time.summary import lead, leads, overloaded, rules

_WIDTH, _LEFT, _RIGHT, _ROW = 980, 210, 30, 17
_OWN, _OTHER, _GRID, _TEXT = "#c0392b", "#7f8c8d", "#dddddd", "#222222"
_FONT = 'font-family="sans-serif" font-size="12"'
_LEADS = (-10.0, 45.0)
"""Range of the lead axis, minutes."""


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = _TEXT) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {_FONT}>{words}</text>'


def _title(y: float, words: str) -> str:
    return f'<text x="10" y="{y:.1f}" fill="{_TEXT}" font-weight="bold" {_FONT}>{words}</text>'


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 1.0) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _page(parts: Sequence[str], height: float) -> str:
    box = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}">'
    return "\n".join([box, f'<rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>', *parts, "</svg>\n"])


def lead_distributions(cases: Sequence[Judged]) -> str:
    """A row for each rule and ramp length: every run a dot, the median a bar."""

    def x(minutes: float) -> float:
        low, high = _LEADS
        share = (min(max(minutes, low), high) - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        _title(20, "Page before the queue grows for good, minutes"),
        _text(
            10, 36, "each run a dot, the median a bar; left of 0 the page came too late, dots at the edges lie beyond"
        ),
    ]
    y = 60.0
    top = y
    for minutes in RAMP_MINUTES:
        ramps = overloaded(cases, "ramp", minutes)
        if not ramps:
            continue
        parts.append(_title(y, f"ramps of {minutes} min ({len(ramps)} runs)"))
        for rule in rules(cases):
            y += _ROW
            colour = _OWN if rule == KVWATCH else _OTHER
            parts.append(_text(_LEFT - 10, y + 4, rule, anchor="end", colour=colour))
            parts += [
                f'<circle cx="{x(lead(j, rule) / 60):.1f}" cy="{y:.1f}" r="3" fill="{colour}" fill-opacity="0.4"/>'
                for j in ramps
            ]
            found = leads(ramps, rule)
            if found is not None:
                middle = x(found.middle / 60)
                parts.append(_line((middle, y - 7), (middle, y + 7), colour, 3))
        y += 1.8 * _ROW
    return _page([*_axis(x, range(-10, 46, 5), top, y), *parts], y + 30)


def _axis(x: Callable[[float], float], marks: Sequence[float], top: float, bottom: float) -> list[str]:
    parts = []
    for mark in marks:
        parts.append(_line((x(mark), top), (x(mark), bottom - 12), _TEXT if mark == 0 else _GRID))
        parts.append(_text(x(mark), bottom + 4, f"{mark:g}", anchor="middle"))
    return parts


def false_page_rates(cases: Sequence[Judged]) -> str:
    """A row for each rule and steady load: false pages in 1,000 hours, on a logarithmic scale; none is at the left."""

    def x(rate: float) -> float:
        place = (log10(min(max(rate, 0.1), 10_000.0)) + 1) / 5
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        _title(20, "Pages in 1,000 hours at a steady load"),
        _text(10, 36, "0.1 or less at the left edge; 1 is what is allowed at loads up to 0.85"),
    ]
    y = 60.0
    top = y
    for load in (*STABLE_LOADS, NEAR_LOAD):
        chosen = [j for j in cases if j.case.kind == "stable" and j.case.load[0].start == load]
        hours = sum(j.case.seconds for j in chosen) / 3600
        if not chosen:
            continue
        parts.append(_title(y, f"ρ = {load} ({hours:.0f} h)"))
        for rule in rules(cases):
            y += _ROW
            colour = _OWN if rule == KVWATCH else _OTHER
            rate = 1000 * sum(j.of(rule).pages for j in chosen) / hours
            parts.append(_text(_LEFT - 10, y + 4, rule, anchor="end", colour=colour))
            parts.append(_line((x(0.1), y), (x(rate), y), colour, 6))
            parts.append(_text(x(rate) + 6, y + 4, f"{rate:.3g}", colour=colour))
        y += 1.8 * _ROW
    return _page([*_axis(x, (0.1, 1, 10, 100, 1000), top, y), *parts], y + 30)
