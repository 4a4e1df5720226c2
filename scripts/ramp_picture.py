"""Draws docs/ramp.svg: a recorded ramp of a real vLLM into overload, as kvwatch saw it at the time.

    python scripts/ramp_picture.py [FOLDER] [OUTPUT]

Everything in the picture comes from replaying the recording; a test compares the committed file with a new one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from kvwatch.export.catalog import BY_NAME
from kvwatch.export.metric import PREFIX
from kvwatch.export.series import number
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.views import EngineView

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests/data/recordings/ramp11"
OUTPUT = ROOT / "docs/ramp.svg"
START_SECONDS = 110.0
"""The recording begins with an overload that is cut off; the ramp starts here."""
WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 52, 190, 48, 40
MAX_RATIO, MAX_QUEUE = 1.4, 42.0

TITLE = "A real vLLM ramped into overload, as kvwatch saw it from /metrics alone"
LEGEND = (
    ("utilization ρ, 90% interval", "#c4162a"),
    ("stable limit (dotted)", "#c4162a"),
    ("ρ by the plain formula", "#8a8a8a"),
    ("KV cache usage", "#3274d9"),
    (f"waiting requests (0 to {MAX_QUEUE:g})", "#56a64b"),
)

Points = list[tuple[float, float]]


def main(folder: Path = FOLDER, output: Path = OUTPUT) -> None:
    """Replay and draw."""
    output.write_text(draw(list(seen(folder))), encoding="utf-8")


def seen(folder: Path) -> Iterable[tuple[float, EngineView]]:
    """Seconds since the ramp began, and the engine's view, after each scrape of the ramp."""
    begin = None
    for view in replay(Recording(folder, print)):
        begin = view.at if begin is None else begin
        if view.at - begin >= START_SECONDS and view.targets[0].engines:
            yield view.at - begin - START_SECONDS, view.targets[0].engines[0]


def draw(views: list[tuple[float, EngineView]]) -> str:
    """The picture as SVG text."""
    end = views[-1][0]
    parts = [f'<polygon points="{_path(_band(views), end)}" fill="#c4162a" opacity="0.12"/>']
    parts += [
        f'<polyline id="{name}" points="{_path(points, end, top)}" fill="none" {look}/>'
        for name, points, top, look in _lines(views)
    ]
    for value in (0.0, 0.5, 1.0):
        height = _y(value, MAX_RATIO)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" stroke="#ddd"/>')
        parts.append(_text((LEFT - 8, height + 4), f"{value:g}", anchor="end"))
    for minute in range(int(end // 60) + 1):
        parts.append(_text((_x(60 * minute, end), HEIGHT - BOTTOM + 18), f"{minute} min", anchor="middle"))
    parts += [_text((WIDTH - RIGHT + 12, TOP + 24 + 22 * i), *entry) for i, entry in enumerate(LEGEND)]
    parts.append(_text((LEFT, 24), TITLE, "#222", size=15))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>\n"])


def _lines(views: list[tuple[float, EngineView]]) -> list[tuple[str, Points, float, str]]:
    """Name, points, top of the scale and look of each line."""
    plain = [(t, v.arrival_rate.value["1m"] / v.service_rate_plain) for t, v in views if _has_plain(v)]
    return [
        ("rho", _series(views, "utilization", "1m"), MAX_RATIO, 'stroke="#c4162a" stroke-width="3"'),
        ("plain", plain, MAX_RATIO, 'stroke="#8a8a8a" stroke-width="1.5" stroke-dasharray="5 4"'),
        ("kv", _series(views, "kv_usage_ratio"), MAX_RATIO, 'stroke="#3274d9" stroke-width="1.5"'),
        ("queue", _series(views, "queue_length"), MAX_QUEUE, 'stroke="#56a64b" stroke-width="2"'),
        ("limit", _series(views, "stable_limit"), MAX_RATIO, 'stroke="#c4162a" stroke-dasharray="2 3"'),
    ]


def _has_plain(view: EngineView) -> bool:
    return view.service_rate_plain is not None and "1m" in view.arrival_rate.value


def _band(views: list[tuple[float, EngineView]]) -> Points:
    """Outline of the interval of the utilization."""
    return _series(views, "utilization_upper", "1m") + _series(views, "utilization_lower", "1m")[::-1]


def _series(views: list[tuple[float, EngineView]], of: str, window: str | None = None) -> Points:
    """Times and values of one metric, where it is known."""
    points: Points = []
    for t, view in views:
        value = number(BY_NAME[f"{PREFIX}{of}"], view)
        if isinstance(value, dict):
            value = value.get(window or "")
        if value is not None:
            points.append((t, value))
    return points


def _path(points: Points, end: float, top: float = MAX_RATIO) -> str:
    return " ".join(f"{_x(t, end):.1f},{_y(value, top):.1f}" for t, value in points)


def _x(t: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * t / end


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value, top) / top


def _text(at: tuple[float, float], words: str, colour: str = "#555", *, anchor: str = "start", size: int = 12) -> str:
    where = f'x="{at[0]:.1f}" y="{at[1]:.1f}"'
    return f'<text {where} fill="{colour}" text-anchor="{anchor}" font-size="{size}">{words}</text>'


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
