"""FleetView → the page for people at ``/``: how loaded each engine is, what to set, what does not answer.

The page runs no script and asks for nothing else. Every text that came from outside is escaped and cut, and every list
has an end, so that the page of a thousand engines is no larger than that of a hundred.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from kvwatch.export.words import LIMIT_WORDS, Load, rate, service_rate, spell
from kvwatch.views import EngineView, FleetView, TargetView

MOST_ENGINES, MOST_ADVICE, MOST_TARGETS = 100, 25, 50
"""Rows at most: engines with their load, engines with something to set, targets that do not answer."""
_LONGEST_TEXT = 160
_UNKNOWN = "–"
_COLUMNS = (
    "target",
    "model",
    "engine",
    "ρ",
    "limit",
    "λ",
    "μ",
    "bound by",
    "waiting",
    "full in",
    "seats to set",
    "doubt",
)
_STYLE = (
    "body{font:16px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    "table{border-collapse:collapse}th,td{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd}"
    "tr.over td{background:#fde8e8}tr.near td{background:#fff4d6}"
)
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
"""What a Content-Security-Policy has to allow as ``style-src`` for the page."""
_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>kvwatch</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    f"<style>{_STYLE}</style></head>\n<body>\n"
)
_LINKS = (
    ("metrics", "the estimates for Prometheus"),
    ("api/v1/engines", "the same numbers as JSON, with reasons in words"),
    ("-/healthy", "probe: the process answers"),
    ("-/ready", "probe: between start and shutdown"),
)


def page(view: FleetView, version: str, runbooks: Iterable[str] = ()) -> str:
    """The whole page as HTML; ``runbooks`` are names of alerts whose runbook is served."""
    engines = [engine for target in view.targets for engine in target.engines]
    parts = [
        f"<h1>kvwatch {escape(version)}</h1>",
        f"<p>{_time(view.at)}: {len(engines)} engines on {len(view.targets)} targets.</p>",
        *_engines(engines),
        *_advice(engines),
        *_targets(view.targets),
        "<h2>More</h2>",
        _items(f'<a href="{path}">/{path}</a>: {words}' for path, words in _LINKS),
        *_runbooks(runbooks),
    ]
    return _HEAD + "\n".join(parts) + "\n</body></html>\n"


def _engines(engines: Sequence[EngineView]) -> list[str]:
    """The load of each engine, the fullest first."""
    if not engines:
        return ["<p>No engine has been read yet.</p>"]
    rows = "\n".join(map(_row, sorted(engines, key=_fullness, reverse=True)[:MOST_ENGINES]))
    titles = "".join(f"<th>{title}</th>" for title in _COLUMNS)
    return [
        "<h2>Engines</h2>",
        "<p>The fullest first. ρ = λ/μ over the shortest window, with its 90% interval; rates in requests/s.</p>",
        f"<table><thead><tr>{titles}</tr></thead><tbody>\n{rows}\n</tbody></table>",
        *_more(len(engines) - MOST_ENGINES, "engines"),
    ]


def _row(view: EngineView) -> str:
    load, limit = Load.of(view), view.stable_limit.value
    seconds = view.time_to_saturation_seconds
    binds = ", ".join(LIMIT_WORDS.get(name, name) for name, value in view.binding_limit.items() if value)
    doubt = view.estimate_valid.get("utilization")
    cells = (
        view.target,
        view.model_name,
        view.engine,
        str(load) if load else _UNKNOWN,
        f"{limit:.2f}" if _known(limit) else _UNKNOWN,
        rate(load.arrival_rate) if load else _UNKNOWN,
        service_rate(view) if _known(view.service_rate.value) else _UNKNOWN,
        binds or _UNKNOWN,
        f"{view.queue_length:.0f}" if _known(view.queue_length) else _UNKNOWN,
        spell(seconds) if seconds is not None and math.isfinite(seconds) else _UNKNOWN,
        _seats(view) or _UNKNOWN,
        "" if doubt is None or doubt.valid else doubt.words or doubt.reason,
    )
    kind = "" if load is None else ' class="over"' if load.lower > 1 else ' class="near"' if load.value > 0.8 else ""
    return f"<tr{kind}>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _advice(engines: Iterable[EngineView]) -> list[str]:
    """What to set, where there is something, the largest gain first."""
    advised = sorted(
        (e for e in engines if e.advice), key=lambda e: e.recommended_gain_ratio.value or 0.0, reverse=True
    )
    if not advised:
        return []
    parts = ["<h2>What to set</h2>"]
    for engine in advised[:MOST_ADVICE]:
        seats = _seats(engine)
        name = f"Engine {engine.engine} of {engine.model_name} on {engine.target}"
        parts.append(f"<h3>{_text(name)}{f': max_num_seqs {_text(seats)}' if seats else ''}</h3>")
        parts.append(_items(_text(sentence, longest=1000) for sentence in engine.advice[:10]))
    return [*parts, *_more(len(advised) - MOST_ADVICE, "engines with advice")]


def _targets(targets: Sequence[TargetView]) -> list[str]:
    """Servers that do not answer, and why."""
    down = [target for target in targets if not target.up]
    if not down:
        return []
    words = (f"{_text(target.target)}: {_text(target.problem or 'not read yet')}" for target in down[:MOST_TARGETS])
    return ["<h2>Targets without an answer</h2>", _items(words), *_more(len(down) - MOST_TARGETS, "targets")]


def _runbooks(alerts: Iterable[str]) -> list[str]:
    links = [f'<a href="runbooks/{escape(alert)}.md">{escape(alert)}</a>' for alert in alerts]
    return [f"<p>Runbooks: {', '.join(links)}.</p>"] if links else []


def _seats(view: EngineView) -> str:
    """The recommended max_num_seqs and what it would gain; empty where none is."""
    seats, gain = view.recommended_max_num_seqs.value, view.recommended_gain_ratio.value
    if seats is None or not math.isfinite(seats):
        return ""
    return f"{seats:.0f} ({gain:+.0%} throughput)" if gain is not None and math.isfinite(gain) else f"{seats:.0f}"


def _fullness(view: EngineView) -> float:
    load = Load.of(view)
    return load.value if load is not None and math.isfinite(load.value) else -1.0


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _more(number: int, what: str) -> list[str]:
    return [f'<p>And {number} more {what}: <a href="api/v1/engines">all of them</a>.</p>'] if number > 0 else []


def _items(items: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>"


def _text(text: str, longest: int = _LONGEST_TEXT) -> str:
    """A text from outside, cut and escaped."""
    return escape(text if len(text) <= longest else text[: longest - 1] + "…")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
