"""Curves as SVG that takes its colours from the page's style sheet, so that it is right in the dark and on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape

import numpy as np

from kvwatch.backtest.spells import Spell
from kvwatch.constants import DAY_SECONDS
from kvwatch.promql.labels import Array

WIDTH, NARROW_WIDTH = 1000.0, 340.0
"""Width of a picture for a desk and for a phone [px]. Choice: letters then have the size of the text around."""
LEFT, RIGHT = 56.0, 14.0
"""Room beside the axes, for their numbers [px]. Choice: five digits."""
_GAP = 26.0
"""Between two panels; a panel's name stands there."""
_POINT_WIDTH = 2.0
"""Width of a point of a curve [px]. Choice: as fine as a screen shows."""
_TICK_SECONDS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_TICK_WIDTH = 100.0
"""Least width between two moments that the axis names [px]. Choice: a day and a month, and some room."""
_MARK_ROW = 17.0
"""Height of the row of one mark's words."""
_LEFTWARD = 0.5
"""Place from which on a mark's words stand to its left, over the width [1]. Choice: they have more room there."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a panel. ``kind``: a line, an area down to 0, or a band between the values and ``upper``."""

    values: Array
    css: str
    kind: str = "line"
    upper: Array | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes: its name with the unit, its curves, and a line at a number that matters."""

    name: str
    curves: tuple[Curve, ...]
    height: float = 120.0
    least_top: float = 1.0
    rule: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that is pointed at, with some words, and with fewer for a narrow picture; ``link`` leads to it."""

    at: float
    words: str
    css: str
    link: str = ""
    short: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of bars: its name, the spells, and for each of them where it leads and what it is."""

    name: str
    css: str
    bars: tuple[tuple[Spell, str, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels over one time axis, marks through all of them, lanes below; ``title`` and ``text`` say what is seen."""

    key: str
    title: str
    text: str
    span: Spell
    at: Array
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...] = ()
    lanes: tuple[Lane, ...] = ()
    shaded: tuple[Spell, ...] = field(default=())
    width: float = WIDTH


def figure(chart: Chart) -> str:
    """The chart for a desk and for a phone, of which the page's style shows one."""
    marks = tuple(replace(mark, words=mark.short or mark.words) for mark in chart.marks)
    narrow = replace(chart, key=f"{chart.key}-narrow", width=NARROW_WIDTH, marks=marks)
    return f'<figure><div class="wide">{svg(chart)}</div><div class="narrow">{svg(narrow)}</div></figure>'


def svg(chart: Chart) -> str:
    """The chart as an element of a page."""
    span = chart.span
    x = scale(span.start, span.end, LEFT, chart.width - RIGHT)
    top = _MARK_ROW * len(chart.marks) + 8
    parts: list[str] = []
    y = top
    for panel in chart.panels:
        y += _GAP if panel.name else 8
        parts += _panel(panel, chart, x, y)
        y += panel.height
    bottom = y
    ticks = _ticks(span, int(chart.width / _TICK_WIDTH))
    axis = _axis(ticks, x, top + 6, bottom, span)
    y += 24
    for lane in chart.lanes:
        parts += _lane(lane, x, y, chart)
        y += 22
    shades = [
        f'<rect class="shade" x="{x(max(s.start, span.start)):.1f}" y="{top + 6:.1f}" '
        f'width="{max(x(min(s.end, span.end)) - x(max(s.start, span.start)), 1):.1f}" height="{bottom - top - 6:.1f}"/>'
        for s in chart.shaded
    ]
    marks = _marks(chart.marks, x, bottom, chart.width)
    height = y + 6
    # what is in an image is hidden from screen readers, and links must not be
    role = "group" if chart.lanes or any(mark.link for mark in chart.marks) else "img"
    return (
        f'<svg class="chart" viewBox="0 0 {chart.width:.0f} {height:.0f}" role="{role}" paint-order="stroke" '
        f'aria-labelledby="{chart.key}-t {chart.key}-d">'
        f'<title id="{chart.key}-t">{escape(chart.title)}</title><desc id="{chart.key}-d">{escape(chart.text)}</desc>'
        + "".join((*shades, *axis, *parts, *marks))
        + "</svg>"
    )


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A straight line from one range to another."""
    width = high - low or 1.0
    return lambda value: start + (value - low) / width * (end - start)


def _panel(panel: Panel, chart: Chart, x: Callable[[float], float], top: float) -> list[str]:
    inside = (chart.at >= chart.span.start) & (chart.at <= chart.span.end)
    at = chart.at[inside]
    highest = [panel.least_top]
    for curve in panel.curves:
        values = (curve.upper if curve.upper is not None and curve.kind == "band" else curve.values)[inside]
        if len(values) and not np.isnan(values).all():
            # a band's far end must not flatten everything else
            highest.append(float(np.nanmax(values)) if curve.kind != "band" else float(np.nanquantile(values, 0.9)))
    grid = _grid(max(highest))
    y = scale(0.0, grid[-1], top + panel.height, top)
    digits = max(0, -math.floor(math.log10(grid[1] - grid[0]) + 1e-9)) + ((grid[1] - grid[0]) % 1 == 0.25)
    parts = [f'<text class="name" x="{LEFT}" y="{top - 7:.1f}">{escape(panel.name)}</text>'] if panel.name else []
    for value in grid:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{chart.width - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(f'<text class="tick end" x="{LEFT - 7}" y="{y(value) + 4:.1f}">{value:.{digits}f}</text>')
    if panel.rule is not None and panel.rule <= grid[-1]:
        at_y = y(panel.rule)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{chart.width - RIGHT}" y1="{at_y:.1f}" y2="{at_y:.1f}"/>')
    for curve in panel.curves:
        values = curve.values[inside]
        upper = curve.upper[inside] if curve.upper is not None else None
        parts += _curve(curve, at, values, upper, x, lambda v: y(min(v, grid[-1])), chart.width)
    return parts


def _curve(  # noqa: PLR0913, PLR0917 (a curve and its two scales)
    curve: Curve,
    at: Array,
    values: Array,
    upper: Array | None,
    x: Callable[[float], float],
    y: Callable[[float], float],
    width: float,
) -> list[str]:
    parts = []
    for piece in _pieces(at, values, upper, most=int(width / _POINT_WIDTH), peaks=curve.kind == "area"):
        line = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v, _ in piece)
        if curve.kind == "line":
            parts.append(f'<polyline class="line {curve.css}" points="{line}"/>')
            continue
        ends = reversed([(t, u if curve.kind == "band" else 0.0) for t, _, u in piece])
        back = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in ends)
        parts.append(f'<polygon class="{curve.kind} {curve.css}" points="{line} {back}"/>')
        if curve.kind == "area":
            parts.append(f'<polyline class="line {curve.css}" points="{line}"/>')
    return parts


def _pieces(
    at: Array, values: Array, upper: Array | None, *, most: int, peaks: bool
) -> list[list[tuple[float, float, float]]]:
    """Stretches without a hole, of so many points as can be seen: of each few values the mean, or the highest."""
    if not len(at):
        return []
    size = max(math.ceil(len(at) / most), 1)
    pieces: list[list[tuple[float, float, float]]] = [[]]
    for low in range(0, len(at), size):
        part = slice(low, low + size)
        known = ~np.isnan(values[part])
        if not known.any():
            pieces.append([])
            continue
        chosen = values[part][known]
        value = float(chosen.max() if peaks else chosen.mean())
        far = upper[part][known] if upper is not None else chosen
        pieces[-1].append((float(at[part].mean()), value, float(np.nanmean(far)) if not np.isnan(far).all() else value))
    return [piece for piece in pieces if piece]


def _grid(highest: float) -> list[float]:
    """Round numbers from 0 to one that nothing exceeds."""
    step = 10 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    for factor in (0.25, 0.5, 1.0, 2.0):
        if highest / (step * factor) <= 4:
            step *= factor
            break
    return [step * i for i in range(math.ceil(round(highest / step, 6)) + 1)]


def _ticks(span: Spell, most: int) -> list[float]:
    step = next((s for s in _TICK_SECONDS if span.seconds / s <= most), _TICK_SECONDS[-1])
    first = math.ceil(span.start / step) * step
    return [first + step * i for i in range(int((span.end - first) // step) + 1)]


def _axis(ticks: Sequence[float], x: Callable[[float], float], top: float, bottom: float, span: Spell) -> list[str]:
    form = "%d %b" if len(ticks) > 1 and ticks[1] - ticks[0] >= DAY_SECONDS else "%H:%M"
    if span.seconds < 600:
        form = "%H:%M:%S"
    parts = []
    for tick in ticks:
        moment = datetime.fromtimestamp(tick, UTC)
        words = moment.strftime("%d %b" if form == "%H:%M" and tick % DAY_SECONDS == 0 else form)
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text class="tick mid" x="{x(tick):.1f}" y="{bottom + 16:.1f}">{words}</text>')
    return parts


def _marks(marks: Sequence[Mark], x: Callable[[float], float], bottom: float, width: float) -> list[str]:
    parts = []
    for row, mark in enumerate(sorted(marks, key=lambda m: m.at)):
        at, y = x(mark.at), _MARK_ROW * row + 14
        left = at > width * _LEFTWARD
        anchor, shift = ("end", -6) if left else ("start", 6)
        words = f'<text class="mark {mark.css} {anchor}" x="{at + shift:.1f}" y="{y:.1f}">{escape(mark.words)}</text>'
        parts.append(f'<line class="mark {mark.css}" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 10:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<a href="{escape(mark.link)}">{words}</a>' if mark.link else words)
    return parts


def _lane(lane: Lane, x: Callable[[float], float], y: float, chart: Chart) -> list[str]:
    span = chart.span
    parts = [
        f'<line class="lane" x1="{LEFT}" x2="{chart.width - RIGHT}" y1="{y + 8:.1f}" y2="{y + 8:.1f}"/>',
        f'<text class="tick" x="0" y="{y + 12:.1f}">{escape(lane.name)}</text>',
    ]
    for spell, link, words in lane.bars:
        start, end = x(max(spell.start, span.start)), x(min(spell.end, span.end))
        rect = (
            f'<rect class="bar {lane.css}" x="{start:.1f}" y="{y + 2:.1f}" rx="2" '
            f'width="{max(end - start, 3):.1f}" height="12"><title>{escape(words)}</title></rect>'
        )
        parts.append(f'<a href="{escape(link)}" aria-label="{escape(words)}">{rect}</a>' if link else rect)
    return parts
