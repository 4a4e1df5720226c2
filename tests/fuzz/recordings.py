"""Fuzzes recordings: a replay says what it can, reports the rest, and ends. Nothing may raise, and memory may not grow.

    python -m tests.fuzz.recordings --seconds 600

The files are the first lines of good ones, changed in one to three places, with some bytes put into one of them.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.export.json_api import fleet_json
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.recordings.lines import read_lines
from kvwatch.shell.recordings.replay import Recording, replay, scrapes_path
from tests.core.test_robustness import numbers
from tests.fuzz.engines import command, drawn
from tests.fuzz.states import MARKS
from tests.fuzz.trees import Change, Place, change, changes, marked, places

FILES = ("scrapes.jsonl", "requests.jsonl", "settings.json")
LINES = 8
"""Of each file, from its beginning."""
BATCH = 50
DAMAGES = st.tuples(changes(MARKS), st.binary(max_size=40), st.integers(0, 2**16), st.booleans())
"""Changes of values; bytes, and the place where they are put; whether the file that has them is compressed."""


@cache
def recorded() -> dict[str, list[Any]]:
    """The first lines of each file of a good recording, as data."""
    with tempfile.TemporaryDirectory() as folder:
        record_virtual(SCENARIOS["chat"], Path(folder) / "r", seconds=20.0, seed=1)
        found: dict[str, list[Any]] = {"settings.json": [{"max_num_seqs": 12, "max_num_batched_tokens": 2048}]}
        recording = Recording(Path(folder) / "r", lambda _: None)
        lines = [json.loads(line) for _, line in read_lines(scrapes_path(recording.folder), lambda _: None)]
        found["scrapes.jsonl"] = lines[:LINES]
        at = lines[0]["t"]
        found["requests.jsonl"] = [
            {"arrival": at + i, "finish": at + i + 0.5, "prompt_tokens": 90, "completion_tokens": 40, "status": 200}
            for i in range(LINES)
        ]
    return found


def sections(data: Any) -> list[list[Place]]:
    """The places of each file."""
    return [found for name in data if (found := list(places(data[name])))] if isinstance(data, dict) else []


def replayed(damage: tuple[list[Change], bytes, int, bool]) -> list[str]:
    """What is reported of a recording with this damage; raises where anything was wrong on the way."""
    made, junk, place, compressed = damage
    data = json.loads(json.dumps(recorded()))
    change(data, made, sections)
    reports: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            lines = data.get(name, [])
            held = lines if isinstance(lines, list) else []
            content = "".join(marked(json.dumps(line), MARKS) + "\n" for line in held).encode()
            damaged = name == FILES[place % len(FILES)]
            packed = damaged and compressed and name != FILES[-1]
            if packed:
                content = gzip.compress(content)
            if damaged:
                at = place % (len(content) + 1)
                content = content[:at] + junk + content[at:]
            (Path(folder) / (f"{name}.gz" if packed else name)).write_bytes(content)
        for view in replay(Recording(Path(folder), reports.append), requests=True):
            fleet_json(view)
            for path, number in numbers(view.targets):
                assert isfinite(number), path
    assert all(words.isprintable() for words in reports), reports
    return reports


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""

    def attempt(damage: tuple[list[Change], bytes, int, bool]) -> int:
        replayed(damage)
        return 1

    return drawn(seconds, DAMAGES, attempt, "recordings", batch_size=BATCH)


if __name__ == "__main__":
    command("tests.fuzz.recordings", __doc__, run_hypothesis)
