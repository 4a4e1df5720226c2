"""What does a browser have to be told? All engines in brief, and afterwards only what has changed.

Each engine is a small object that is made again only when its view is another one. It has a number that grows with
each change, so that whoever looks is sent what is newer than the number it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from kvwatch.export.json_api import Json, engine_json, model_json, target_json
from kvwatch.export.sentences import action, sentence
from kvwatch.export.summary import Summary, engine_key, summarize
from kvwatch.views import EngineView, FleetView

MOST_SILENT = 50
"""Targets without an answer that are named [1]; of the others only the number. Choice: more than anyone reads."""
LONGEST_TEXT = 300
"""Characters of a text from outside [1]. Choice: a name or an error, not a page."""
_BRIEF = (
    ("load", 3),
    ("load_lower", 3),
    ("load_upper", 3),
    ("limit", 3),
    ("arrival_rate", 3),
    ("arrival_rate_slope", 6),
    ("service_rate", 3),
    ("room", 3),
    ("running", 0),
    ("waiting", 0),
    ("queue_slope", 2),
    ("kv_usage", 2),
    ("seconds_to_limit", -1),
    ("drain_seconds", 0),
    ("ttft_seconds", 3),
    ("itl_seconds", 4),
    ("replicas_required", 0),
    ("replicas", 0),
    ("seats", 0),
    ("gain", 3),
)
"""Numbers of a summary that the table shows, and their decimals: a change that nobody sees is not sent."""
SHARED = ("replicas_required", "replicas", "replicas_added", "model_utilization")
"""What of its model an engine's brief shows, or its sentences go by."""


@dataclass(slots=True)
class _Known:
    """One engine: its view, its document, its brief as JSON, and the number of its last change."""

    view: EngineView
    shared: tuple[object, ...]
    """Its model's :data:`SHARED`."""
    document: Json
    brief: bytes
    version: int
    state: str
    since: float
    """When it was first seen in its state, with no other between [unix s]."""


class Feed:
    """The fleet in brief, and its changes."""

    def __init__(self) -> None:
        self.version = 0
        self._engines: dict[str, _Known] = {}
        self._head: Json = {}

    def update(self, view: FleetView) -> None:
        """Take a view of the fleet."""
        self.version += 1
        models = {(model.model_name, model.role): model_json(model) for model in view.models}
        engines: dict[str, _Known] = {}
        for target in view.targets:
            for engine in target.shown:
                known = self._known(engine, models.get((engine.model_name, target.role), {}), view.at)
                engines[engine_key(known.document)] = known
        self._engines = engines
        silent = [target_json(target) for target in view.targets if not target.up and not target.shown]
        noted = [target_json(target) for target in view.targets if target.up and target.problem]
        self._head = {
            "t": view.at,
            "targets": len(view.targets),
            "silent": [_cut(document) for document in silent[:MOST_SILENT]],
            "silent_count": len(silent),
            "noted": [_cut(document) for document in noted[:MOST_SILENT]],
            "noted_count": len(noted),
        }

    def documents(self) -> Iterator[Json]:
        """The documents of all engines."""
        return (known.document for known in self._engines.values())

    def changes(self, since: int, seen: set[str]) -> bytes:
        """JSON of what is newer than the number ``since`` for one who has ``seen`` these engines; updates ``seen``."""
        newer = [known.brief for known in self._engines.values() if known.version > since]
        gone = [key for key in seen if key not in self._engines]
        seen.difference_update(gone)
        seen.update(self._engines)
        return orjson.dumps({**self._head, "engines": [orjson.Fragment(brief) for brief in newer], "gone": gone})

    def detail(self, key: str) -> tuple[Json, bytes] | None:
        """The whole document of one engine, and its brief as JSON; ``None`` where it is not there."""
        known = self._engines.get(key)
        return (known.document, known.brief) if known is not None else None

    def _known(self, engine: EngineView, model: Json, at: float) -> _Known:
        key = engine_key({"target": engine.target, "model_name": engine.model_name, "engine": engine.engine})
        known = self._engines.get(key)
        shared = tuple(model.get(name) for name in SHARED)
        if known is not None and known.view is engine and known.shared == shared:
            return known
        required = model.get("replicas_required")
        document = engine_json(engine, required if isinstance(required, float) else None)
        summary = summarize(document, model)
        state = summary.state.value
        since = known.since if known is not None and known.state == state else at
        brief = orjson.dumps(brief_json(summary) | {"since": round(since)})
        version = known.version if known is not None and known.brief == brief else self.version
        return _Known(engine, shared, document, brief, version, state, since)


def brief_json(summary: Summary) -> Json:
    """A summary as the browser gets it: rounded numbers, state, and the sentences."""
    brief: Json = {
        "key": summary.key,
        "target": _short(summary.target),
        "model_name": _short(summary.model_name),
        "engine": _short(summary.engine),
        "state": summary.state.value,
        "rank": summary.closeness[0],
        "sentence": sentence(summary),
    }
    for name, decimals in _BRIEF:
        value = getattr(summary, name)
        if value is not None and math.isfinite(value):
            brief[name] = round(value, decimals)
    texts: Iterable[tuple[str, Any]] = (
        ("binds", summary.binds),
        ("because", summary.because),
        ("action", action(summary)),
        ("command", summary.command),
        ("doubts", list(summary.doubts)),
    )
    return brief | {name: text for name, text in texts if text}


def _cut(document: Json) -> Json:
    return {name: _short(value) if isinstance(value, str) else value for name, value in document.items()}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
