"""Draws docs/congestion.svg: the eviction wave of a recorded vLLM, and the same traffic with the recommended seats.

    python scripts/congestion_picture.py [OUTPUT]

The upper half is a recording of a real server; the lower half is the embedded engine in virtual time with the step law
of that server. A test compares the committed file with a new one.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.workload import Segment, arrivals, fixed
from kvwatch.facts import Scrape
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.recording import recorded_scrape

ROOT = Path(__file__).resolve().parent.parent
RECORDING = ROOT / "tests/data/recordings/homog/scrapes.jsonl.gz"
OUTPUT = ROOT / "docs/congestion.svg"
SECONDS = 88
"""The recording begins with an overload of this length, and so does the emulated engine."""
SEATS = 65
"""What kvwatch recommends for this traffic."""
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 860, 170, 52, 24, 44, 46
MOST_RUNNING, MOST_EVICTED = 170.0, 40.0
RUNNING, EVICTED = "#c4162a", "#8a8a8a"

Points = list[tuple[float, float, float]]
"""Seconds since the start, requests running, evictions in the second before."""


def main(output: Path = OUTPUT) -> None:
    """Read, run and draw."""
    output.write_text(draw(recorded(), emulated()), encoding="utf-8")


def recorded() -> Points:
    """The real server with 256 seats."""
    reader, counts = ExpositionReader(), []
    with gzip.open(RECORDING) as lines:
        for line in lines:
            scrape = recorded_scrape(line, reader)
            if isinstance(scrape, Scrape) and scrape.engines:
                sample = scrape.engines[0]
                counts.append((scrape.at, sample.running or 0.0, sample.preemptions or 0.0))
                if counts[-1][0] - counts[0][0] > SECONDS:
                    break
    return _evictions(counts)


def emulated() -> Points:
    """The embedded engine with the recommended seats."""
    scenario = SCENARIOS["limit-cycle"]
    settings = replace(scenario.settings, max_num_seqs=SEATS)
    engine = Engine(settings, StepClock(scenario.law), arrivals([Segment(SECONDS, 25, 25)], fixed(64, 192), seed=1))
    counts = []
    for second in range(SECONDS):
        engine.advance(float(second))
        counts.append((float(second), float(engine.counters.running), float(engine.counters.preemptions)))
    return _evictions(counts)


def _evictions(counts: list[tuple[float, float, float]]) -> Points:
    first = counts[0][0]
    return [(b[0] - first, b[1], b[2] - a[2]) for a, b in pairwise(counts)]


def draw(real: Points, capped: Points) -> str:
    """The picture as SVG text."""
    height = 2 * TOP + 2 * PANEL + GAP
    panels = [
        *_panel(TOP, real, "A real vLLM, requests of one length, 256 seats: evicted in waves"),
        *_panel(TOP + PANEL + GAP, capped, f"The same traffic with the recommended {SEATS} seats (embedded engine)"),
        _text(LEFT, height - 12, "requests running", RUNNING),
        _text(LEFT + 130, height - 12, f"evictions each second (0 to {MOST_EVICTED:g})", EVICTED),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *panels, "</svg>\n"])


def _panel(top: float, points: Points, title: str) -> Iterable[str]:
    yield _text(LEFT, top - 10, title, "#222", size=14)
    for value in (0, 50, 100, 150):
        y = _y(top, value, MOST_RUNNING)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, str(value), anchor="end")
    for second in range(0, SECONDS, 20):
        yield _text(_x(second), top + PANEL + 16, f"{second} s", anchor="middle")
    for at, _, evicted in points:
        if evicted:
            y = _y(top, evicted, MOST_EVICTED)
            box = f'x="{_x(at) - 3:.1f}" y="{y:.1f}" width="6.0" height="{top + PANEL - y:.1f}"'
            yield f'<rect {box} fill="{EVICTED}"/>'
    line = " ".join(f"{_x(at):.1f},{_y(top, running, MOST_RUNNING):.1f}" for at, running, _ in points)
    yield f'<polyline points="{line}" fill="none" stroke="{RUNNING}" stroke-width="2.5"/>'


def _x(seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / SECONDS


def _y(top: float, value: float, most: float) -> float:
    return top + PANEL * (1 - min(value, most) / most)


def _text(  # noqa: PLR0913 (what SVG wants to know)
    x: float, y: float, words: str, colour: str = "#555", *, anchor: str = "start", size: int = 12
) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {where} fill="{colour}" text-anchor="{anchor}" font-size="{size}">{words}</text>'


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
