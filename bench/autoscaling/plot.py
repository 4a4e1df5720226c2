"""Late requests over GPU-hours, a curve for each signal."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from bench.autoscaling.policies import OWN, RIVALS, TITLES
from bench.autoscaling.report import curve, is_usual
from bench.autoscaling.score import Total

_WIDTH, _HEIGHT = 900, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 50
_COLOURS = {
    "utilization": "#c0392b",
    "utilization 5m": "#8e44ad",
    "required": "#e67e22",
    "waiting": "#7f8c8d",
    "kv_usage": "#2c3e50",
}
_FONT = 'font-family="sans-serif" font-size="12"'
_LEAST = 1e-4


def _text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {_FONT}>{words}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def svg(found: Sequence[Total]) -> str:
    """The picture."""
    curves = {s: curve(found, s) for s in (*OWN, *RIVALS)}
    hours = [t.gpu_hours for points in curves.values() for t in points] or [1.0]
    shares = [max(t.late_share, _LEAST) for points in curves.values() for t in points] or [1.0]
    most, low, high = 1.05 * max(hours), floor(log10(min(shares))), ceil(log10(max(shares)))
    high = max(high, low + 1)

    def at(gpu_hours: float, share: float) -> tuple[float, float]:
        up = (log10(max(share, _LEAST)) - low) / (high - low)
        return (
            _LEFT + gpu_hours / most * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        _text(
            10,
            20,
            "Requests that wait more than 2 s, over GPU-hours; a ring marks the usual setting; 0.01% is also none",
            "start",
        )
    ]
    for power in range(low, high + 1):
        x, y = at(0, 10.0**power)
        parts += [
            _line([(x, y), (_WIDTH - _RIGHT, y)], "#dddddd", 1),
            _text(x - 8, y + 4, f"{100 * 10.0**power:g}%", "end"),
        ]
    for tick in range(0, floor(most) + 1, 10 if most > 30 else 5):
        x, y = at(tick, 10.0**low)
        parts.append(_text(x, y + 18, f"{tick}"))
    parts.append(_text(_WIDTH / 2, _HEIGHT - 10, "GPU-hours over all scenarios"))
    for row, (signal, points) in enumerate(curves.items()):
        places, colour = [at(t.gpu_hours, t.late_share) for t in points], _COLOURS[signal]
        parts.append(_line(places, colour, 2))
        for (x, y), t in zip(places, points, strict=True):
            radius, fill = (6, "white") if is_usual(t.policy) else (3, colour)
            ring = f'stroke="{colour}" stroke-width="2"'
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" {ring}/>']
            parts.append(_text(x + 9, y - 6, f"{t.policy.target:g}", "start", colour))
        parts.append(_text(_LEFT + 10 + 205 * row, 40, TITLES[signal].replace(" at ρ", ""), "start", colour))
    box = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
    return "\n".join([box, f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>', *parts, "</svg>\n"])
