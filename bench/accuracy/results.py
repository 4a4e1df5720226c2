"""The results on disk: JSON as the source, and the page made from it. Each part has its own date and commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson

from bench.accuracy import report
from bench.accuracy.cases import Outcome
from bench.accuracy.changes import Change, Restart
from bench.accuracy.crowded import Cap
from bench.accuracy.recordings import PhaseOutcome

FOLDER = Path(__file__).parents[1] / "results"


@dataclass
class Results:
    """Cases by part, and when and from which commit each part was ``made``; a part that is empty was not run."""

    made: dict[str, dict[str, str]] = field(default_factory=dict)
    recordings: Sequence[PhaseOutcome] = ()
    rebuilt: Sequence[PhaseOutcome] = ()
    designs: dict[str, Sequence[Outcome]] = field(default_factory=dict)
    restarts: Sequence[Restart] = ()
    changes: Sequence[Change] = ()
    caps: Sequence[Cap] = ()


def load(folder: Path = FOLDER) -> Results:
    """Results that are on disk; empty ones where there are none."""
    path = folder / "accuracy.json"
    return msgspec.convert(orjson.loads(path.read_bytes()), Results) if path.exists() else Results()


def save(results: Results, folder: Path = FOLDER) -> None:
    """Write data and page."""
    folder.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {
        "made": results.made,
        "recordings": report.as_json(results.recordings),
        "rebuilt": report.as_json(results.rebuilt),
        "designs": {name: report.as_json(outcomes) for name, outcomes in results.designs.items()},
        "restarts": [asdict(r) for r in results.restarts],
        "changes": [asdict(c) for c in results.changes],
        "caps": [asdict(c) for c in results.caps],
    }
    (folder / "accuracy.json").write_bytes(_lines(data) + b"\n")
    (folder / "accuracy.md").write_text(page(results), encoding="utf-8")


def _lines(value: Any) -> bytes:  # noqa: ANN401 (any JSON)
    """JSON with a line for each case: short, and a change of one case changes one line."""
    if isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values()):
        return b"{\n" + b",\n".join(orjson.dumps(k) + b": " + _lines(v) for k, v in value.items()) + b"\n}"
    if isinstance(value, list):
        return b"[\n" + b",\n".join(orjson.dumps(v) for v in value) + b"\n]"
    return orjson.dumps(value)


def page(results: Results) -> str:
    """The whole page."""
    parts = {
        "recordings": report.recordings(results.recordings) if results.recordings else "",
        "rebuilt": report.rebuilt(results.rebuilt) if results.rebuilt else "",
        **{name: report.design(name, outcomes) for name, outcomes in results.designs.items()},
        "restarts": report.restarts(results.restarts) if results.restarts else "",
        "changes": report.changes(results.changes) if results.changes else "",
        "caps": report.caps(results.caps) if results.caps else "",
    }
    made = ", ".join(f"{part} on {results.made[part]['date']} ({results.made[part]['commit']})"
                     for part, text in parts.items() if text)  # fmt: skip
    texts = ["# Accuracy of the service rate\n", f"Written by `python -m bench.accuracy`. Made: {made}.\n"]
    return "\n".join([*texts, *filter(None, parts.values())])
