"""The plan as one page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files

from kvwatch import __version__
from kvwatch.embedded.latency_curve import TARGET_SHARE, Point, latency_between
from kvwatch.paper.page import TABLE_END, table_head, whole_page
from kvwatch.planning.changes import Change
from kvwatch.planning.engine import Known
from kvwatch.planning.latency_plot import latency_plot
from kvwatch.planning.plan import Plan
from kvwatch.planning.words import (
    asked_for,
    cautions,
    evidence,
    left_replicas,
    needed,
    number,
    rate,
    reason,
    seconds,
    signed,
    sustained,
)

_PLOTS: tuple[tuple[str, str, Callable[[Point], tuple[float, ...]]], ...] = (
    ("ttft", "Time to the first token", lambda point: point.first_token_seconds),
    ("wait", "Time in the queue", lambda point: point.wait_seconds),
    ("itl", "Time between two tokens", lambda point: point.between_seconds),
)
"""The latencies that are drawn: their kind, their name, and where a point has them."""
_FULL_BAR_RATIO = 0.5
"""Change of μ that has the longest bar [1]. Choice: more is rare, and then the number says it."""


def as_html(plans: Mapping[str, Plan]) -> str:
    """The page of a plan under an empty name, or of those of several roles."""
    header = (
        '<p class="brand"><b>kvwatch</b> plan</p>',
        f"<h1>{'<br>'.join(escape(_titled(role, needed(plan))) for role, plan in plans.items())}</h1>",
        *(f'<p class="lead">{escape(_titled(role, sustained(plan)))}</p>' for role, plan in plans.items()),
    )
    main = (line for role, plan in plans.items() for line in _one(role, plan))
    style = (files("kvwatch.planning") / "plan.css").read_text(encoding="utf-8")
    return whole_page("kvwatch plan", header, main, f"Made by kvwatch {__version__}.", style)


def _titled(role: str, words: str) -> str:
    return f"{role.capitalize()}: {words}" if role else words


def _one(role: str, plan: Plan) -> Iterator[str]:
    """The sections of one plan."""
    title = f"{role.capitalize()} servers" if role else "The answer"
    yield f'<section aria-labelledby="{role}-plan"><h2 id="{role}-plan">{escape(title)}</h2>'
    yield from _cards(plan)
    yield f"<p>{escape(reason(plan))}</p>"
    yield from (f'<p class="caution">{escape(words)}</p>' for words in cautions(plan))
    if len(plan.replicas) > 1:
        yield table_head(_titled(role, "Replicas"), "requests per second", "replicas")
        yield from (f"<tr><td>{rate(r.rate)}</td><td>{escape(number(r))}</td></tr>" for r in plan.replicas)
        yield TABLE_END
    yield "<h3>Latency over the load of one replica</h3>"
    yield (
        '<p class="soft">Median (thin), 95th (thick) and 99th percentile (dashed); both axes from a quiet engine to a '
        f"full one. The upright line is the load that is planned for{asked_for(plan)}.</p>"
    )
    yield '<div class="plots">'
    for kind, name, of in _PLOTS:
        if all(map(of, plan.curve)):
            yield latency_plot(name, plan.curve, of, plan.load, plan.slo.targets.get(kind))
    yield "</div>"
    yield from _changes(role, plan, "What to set to need fewer", "setting", plan.changes)
    yield from _changes(role, plan, "What the answer hangs on", "if it were otherwise", plan.sensitivities)
    yield from _basis(plan)
    yield "</section>"


def _cards(plan: Plan) -> Iterator[str]:
    """The numbers that the plan is asked for."""
    yield '<dl class="numbers cards">'
    for replicas in plan.replicas[:1]:
        value = "–" if replicas.number is None else str(replicas.number)
        if replicas.number is not None and replicas.lower != replicas.upper:
            value += f"<small> {replicas.lower} to {replicas.upper}</small>"
        yield _card(value, f"replicas for {rate(replicas.rate)} requests per second")
    between = f"<small> {rate(plan.lower)} to {rate(plan.upper)}</small>"
    yield _card(f"{rate(plan.service_rate)}{between}", "requests per second that one sustains")
    yield _card(f"{plan.load:.0%}", "of that is what each is planned for")
    for kind, name in (("ttft", "to the first token"), ("itl", "between two tokens")):
        latency = latency_between(plan.curve, kind, TARGET_SHARE, plan.load) if plan.load > 0 else None
        if latency is not None:
            value, _, unit = seconds(latency).partition(" ")
            yield _card(f"{value}<small> {unit}</small>", f"{name} then, 95th percentile")
    yield "</dl>"


def _card(value: str, name: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>"


def _changes(role: str, plan: Plan, title: str, what: str, found: Sequence[Change]) -> Iterator[str]:
    yield f"<h3>{escape(title)}</h3>"
    if not found:
        yield "<p>Nothing that was tried serves 2% more.</p>"
        return
    yield table_head(_titled(role, title), what, "requests per second", "by how much", "replicas")
    for change in found:
        css = "good" if change.gain_ratio > 0 else "bad"
        width = min(abs(change.gain_ratio) / _FULL_BAR_RATIO, 1.0)
        left = left_replicas(plan, change)
        yield f'<tr><th scope="row">{escape(change.words)}</th><td>{signed(change.gain_ratio)}</td>'
        yield f'<td><div class="gain {css}" style="width: {8 * width:.2f}em"></div></td>'
        yield f"<td>{'–' if left is None else left}</td></tr>"
    yield TABLE_END


def _basis(plan: Plan) -> Iterator[str]:
    yield "<h3>What it rests on</h3>"
    yield '<dl class="facts basis">'
    for basis in evidence(plan):
        css = "sure" if basis.known in {Known.MEASURED, Known.GIVEN} else "unsure"
        yield f'<div><dt>{escape(basis.what)} <span class="tag {css}">{basis.known}</span></dt>'
        yield f"<dd>{escape(basis.value)}</dd></div>"
    yield "</dl>"
