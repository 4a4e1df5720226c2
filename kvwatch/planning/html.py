"""The plan as one page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from math import log10

from kvwatch import __version__
from kvwatch.embedded.latency_curve import SHARES, Point
from kvwatch.planning.changes import Change
from kvwatch.planning.plan import Plan
from kvwatch.planning.words import cautions, changed, headline, number, rate, reason, seconds, support

_WIDTH, _HEIGHT = 480.0, 240.0
_LEFT, _BOTTOM, _TOP, _RIGHT = 56.0, 30.0, 14.0, 14.0
_STYLE = """
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 18px; }
.plots figure { margin: 0; } .plots svg { width: 100%; height: auto; display: block; }
.axis { stroke: var(--line); } .label { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke: var(--own); stroke-width: 2; } .line.s95 { stroke-width: 3; } .line.s50 { opacity: .5; }
.line.s99 { stroke-dasharray: 5 4; } .kept { stroke: var(--bad); stroke-dasharray: 3 3; }
table { border-collapse: collapse; margin: 12px 0; } td, th { padding: 6px 18px 6px 0; text-align: left;
border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; } th { color: var(--soft); font-weight: 500; }
"""


def as_html(plans: Mapping[str, Plan]) -> str:
    """The page of a plan under an empty name, or of those of several roles."""
    style = (files("kvwatch.backtest") / "report.css").read_text(encoding="utf-8")
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>kvwatch plan</title><style>\n{style}{_STYLE}</style></head>",
            "<body><header>",
            f'<p class="brand"><b>kvwatch</b> {escape(__version__)} plan</p>',
            f"<h1>{escape(' '.join(_titled(role, headline(plan)) for role, plan in plans.items()))}</h1>",
            "</header><main>",
            *(line for role, plan in plans.items() for line in _one(role, plan)),
            "</main></body></html>",
            "",
        )
    )


def _titled(role: str, words: str) -> str:
    return f"{role.capitalize()}: {words}" if role else words


def _one(role: str, plan: Plan) -> Iterator[str]:
    """The sections of one plan."""
    if role:
        yield f"<h2>{escape(role.capitalize())} servers</h2>"
    yield f'<p class="lead">{escape(reason(plan))}</p>'
    yield from (f"<p>{escape(words)}</p>" for words in cautions(plan))
    yield "<h2>What it rests on</h2><ul>"
    yield from (f"<li>{escape(words)}</li>" for words in support(plan))
    yield "</ul>"
    yield from _replicas(plan)
    yield "<h2>Latency over the load</h2>"
    yield (
        '<p class="soft">Median (thin), 95th (thick) and 99th percentile (dashed) over the utilization of one replica. '
        "The red line is where the plan keeps it.</p>"
    )
    yield '<div class="plots">'
    yield from (_plot(plan, name, of) for name, of in _PLOTS if all(map(of, plan.curve)))
    yield "</div>"
    yield from _changes(plan, "What to set to need fewer", plan.changes, "Nothing that was tried serves 2% more.")
    yield from _changes(plan, "What the answer hangs on", plan.sensitivities, "")


def _replicas(plan: Plan) -> Iterator[str]:
    yield '<h2>Replicas</h2><table><tr><th scope="col">requests per second</th><th scope="col">replicas</th></tr>'
    for replicas in plan.replicas:
        yield f"<tr><td>{rate(replicas.rate)}</td><td>{escape(number(replicas))}</td></tr>"
    yield "</table>"
    yield (
        f"<p>One sustains {rate(plan.service_rate)} requests per second ({rate(plan.lower)} to {rate(plan.upper)}), "
        f"with {plan.full.mean_running:.0f} running at once and steps of {seconds(plan.full.mean_step_seconds)}.</p>"
    )


def _changes(plan: Plan, title: str, found: Sequence[Change], none: str) -> Iterator[str]:
    yield f"<h2>{escape(title)}</h2>"
    if not found:
        yield f"<p>{escape(none)}</p>"
        return
    yield '<table><tr><th scope="col">change, and requests per second</th></tr>'
    yield from (f"<tr><td>{escape(changed(plan, c))}</td></tr>" for c in found)
    yield "</table>"


def _wait(point: Point) -> tuple[float, ...]:
    return point.wait_seconds


def _first_token(point: Point) -> tuple[float, ...]:
    return point.first_token_seconds


def _between(point: Point) -> tuple[float, ...]:
    return point.between_seconds


_PLOTS: tuple[tuple[str, Callable[[Point], tuple[float, ...]]], ...] = (
    ("Time to the first token", _first_token),
    ("Time in the queue", _wait),
    ("Time between two tokens", _between),
)


def _plot(plan: Plan, name: str, of: Callable[[Point], tuple[float, ...]]) -> str:
    """One latency over the load, on a logarithmic axis that begins at a millisecond."""
    top = max(max(of(point)) for point in plan.curve)
    decades = max(log10(max(top, 1e-3) / 1e-3), 1.0)

    def x(load: float) -> float:
        return _LEFT + load * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        share = log10(max(value, 1e-3) / 1e-3) / decades
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)

    parts = [
        f'<figure><figcaption>{escape(name)}</figcaption><svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img">'
    ]
    parts.append(f"<title>{escape(name)}: {escape(_told(plan, of))}</title>")
    for power in range(int(decades) + 1):
        value = 1e-3 * 10**power
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(
            f'<text class="label" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{seconds(value)}</text>'
        )
    parts += [
        f'<text class="label" x="{x(tick):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{tick:.0%}</text>'
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    parts.append(
        f'<line class="kept" x1="{x(plan.load):.1f}" x2="{x(plan.load):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
    )
    for place, share in enumerate(SHARES):
        points = " ".join(f"{x(point.load):.1f},{y(of(point)[place]):.1f}" for point in plan.curve)
        parts.append(f'<polyline class="line s{share * 100:.0f}" points="{points}"/>')
    return "".join((*parts, "</svg></figure>"))


def _told(plan: Plan, of: Callable[[Point], tuple[float, ...]]) -> str:
    place = SHARES.index(0.95)
    return ", ".join(f"{seconds(of(point)[place])} at {point.load:.0%}" for point in plan.curve)
