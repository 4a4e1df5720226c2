"""Latency over the load of one replica as a picture that takes its colours from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10

from kvwatch.embedded.latency_curve import SHARES, Point
from kvwatch.planning.words import seconds

_WIDTH, _HEIGHT = 400.0, 240.0
_LEFT, _BOTTOM, _TOP, _RIGHT = 58.0, 30.0, 14.0, 24.0
"""Room around the axes, for their numbers [px]. Choice: "100 ms" and half of "100%"."""
_SHORTEST_SECONDS = 1e-3
"""Where the axis begins at the lowest [s]. Choice: shorter is as good as none to a user."""
_NARROW_DECADES = 1.6
"""Decades up to which also 2 and 5 of each are named [1]. Choice: else there is a single number on the axis."""
_LOADS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Loads that the axis names [1]."""


def latency_plot(
    name: str,
    curve: Sequence[Point],
    of: Callable[[Point], tuple[float, ...]],
    load: float,
    target_seconds: float | None = None,
) -> str:
    """One latency on a logarithmic axis, with a line at the ``load`` that is planned for and one at the target."""
    shown = [max(value, _SHORTEST_SECONDS) for point in curve for value in of(point)]
    shown += [max(target_seconds, _SHORTEST_SECONDS)] if target_seconds is not None else []
    ticks = _ticks(min(shown), max(shown))
    low, high = log10(ticks[0]), log10(ticks[-1])

    def x(share: float) -> float:
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        share = (log10(max(value, ticks[0])) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)

    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for value in ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 7}" y="{y(value) + 4:.1f}">{seconds(value)}</text>')
    parts += [f'<text class="tick mid" x="{x(at):.1f}" y="{_HEIGHT - 8}">{at:.0%}</text>' for at in _LOADS]
    if target_seconds is not None:
        at = y(target_seconds)
        parts.append(f'<line class="target" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="mark bad" x="{_LEFT + 6}" y="{at - 5:.1f}">target</text>')
    if load > 0:
        parts.append(f'<line class="kept" x1="{x(load):.1f}" x2="{x(load):.1f}" y1="{_TOP}" y2="{bottom}"/>')
    for place, share in enumerate(SHARES):
        points = " ".join(f"{x(point.load):.1f},{y(of(point)[place]):.1f}" for point in curve)
        parts.append(f'<polyline class="line own s{share * 100:.0f}" points="{points}"/>')
    middle = SHARES.index(0.95)
    told = ", ".join(f"{seconds(of(point)[middle])} at {point.load:.0%}" for point in curve)
    words = f"{name}, 95th percentile: {told}"
    return (
        f'<figure><figcaption>{escape(name)}</figcaption><svg class="chart" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" '
        f'role="img" paint-order="stroke"><title>{escape(words)}</title>{"".join(parts)}</svg></figure>'
    )


def _ticks(least: float, most: float) -> list[float]:
    """Round times [s] on a logarithmic axis, from one that is below all to one that is above them."""
    low, high = floor(log10(least) + 1e-9), ceil(log10(most) - 1e-9)
    steps = (1, 2, 5) if log10(most / least) < _NARROW_DECADES else (1,)
    found = [step * 10.0**power for power in range(low, max(high, low + 1) + 1) for step in steps]
    first = max(place for place, value in enumerate(found) if value <= least * (1 + 1e-9))
    last = min(place for place, value in enumerate(found) if value >= most * (1 - 1e-9))
    return found[first : max(last, first + 1) + 1]
