"""Whatever the files of a recording hold, a replay says what it can, reports the rest, and ends."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvwatch.cli.main import main
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.export.json_api import fleet_json
from kvwatch.shell.emulator.recording import record_virtual
from kvwatch.shell.recordings.lines import read_lines
from kvwatch.shell.recordings.replay import Recording, replay, scrapes_path
from tests.core.test_robustness import numbers
from tests.fuzz.states import MARKS
from tests.fuzz.trees import Change, Place, change, changes, marked, places

FILES = ("scrapes.jsonl", "requests.jsonl", "settings.json")
LINES = 8
"""Of each file, from its beginning."""


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


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes(MARKS), st.binary(max_size=40), st.integers(0, 2**16))
def test_a_damaged_recording_is_replayed_as_far_as_it_goes(made: list[Change], junk: bytes, place: int) -> None:
    """Values of other types and sizes, and some bytes in the middle of a file: no number is NaN or infinite."""
    data = json.loads(json.dumps(recorded()))
    change(data, made, sections)
    reports: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            lines = data.get(name, [])
            held = lines if isinstance(lines, list) else []
            content = "".join(marked(json.dumps(line), MARKS) + "\n" for line in held).encode()
            if name == FILES[place % len(FILES)]:
                at = place % (len(content) + 1)
                content = content[:at] + junk + content[at:]
            (Path(folder) / name).write_bytes(content)
        for view in replay(Recording(Path(folder), reports.append), requests=True):
            fleet_json(view)
            for path, number in numbers(view.targets):
                assert isfinite(number), path
    assert all(words.isprintable() for words in reports)


@pytest.mark.parametrize("at", [-1.0, 1e12, 1e300])
def test_a_time_that_no_calendar_has_is_skipped(tmp_path: Path, at: float, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of the command prints times of day; the scrapes around it are replayed."""
    lines = [dict(line) for line in recorded()["scrapes.jsonl"][:3]]
    lines[1]["t"] = at
    (tmp_path / "scrapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["replay", str(tmp_path), "--every", "0s"]) == 0
    assert "scrapes.jsonl:2: bad_time; skipped" in capsys.readouterr().err
