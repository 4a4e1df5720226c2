"""Fuzzes a state file on its way into a new process: it is taken up whole or refused with a word. Nothing may raise.

    python -m tests.fuzz.states --seconds 600

The file is that of a kvwatch that has learnt, with one to three places changed: other types and sizes, numbers that
JSON does not know, lists in lists. Its checksum fits, as that of a file written by a faulty kvwatch would.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Fact, RequestAborted, RequestStarted, Settings, SettingSource
from kvwatch.parse.logs import LINE_RESULTS
from kvwatch.shell.intake import Intake
from kvwatch.shell.otlp.limits import SeenSpans
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state.file import VERSION, Checkpoint, StateFile
from kvwatch.shell.state.keeper import StateKeeper
from kvwatch.shell.tail import Positions
from kvwatch.shell.tail.positions import Mark
from tests.core.recordings import load
from tests.core.test_robustness import check
from tests.fuzz.engines import command, drawn
from tests.fuzz.trees import Change, Place, change, changes, marked, places

NAME = "vllm:8000"
RECORDING = "seqcap"
STOPPED = 340
"""How many scrapes of the recording the process before has seen."""
SCRAPES = 4
"""How many more a restored state meets."""
LARGEST_RATIO = 1.5
"""How many times as large as the state before one may be that was taken up [1]: long lists cannot be let in."""

MARKS = {
    "nan": "NaN",
    "infinite": "1e999",
    "huge": "1e308",
    "tiny": "5e-324",
    "long": "9" * 400,
    "u64": str(2**64 - 1),
    "i64": str(-(2**63)),
    "nested": "[" * 300 + "]" * 300,
    "abyss": "[" * 3000 + "]" * 3000,
    "objects": '{"a":' * 300 + "1" + "}" * 300,
    "surrogate": '"\\ud800"',
    "many": "[" + ",".join(["1"] * 100_000) + "]",
    "text": '"' + "x" * 100_000 + '"',
}
"""JSON that would be slow to draw, or that no encoder writes."""
CHANGES = changes(MARKS)


@cache
def learnt() -> str:
    """A checkpoint's parts as JSON, of a kvwatch that has seen minutes of an engine, its log and its traces."""
    recording = load(RECORDING)
    scrapes = recording.scrapes[90:STOPPED]
    start, end = scrapes[0].at, scrapes[-1].at
    timed: list[tuple[float, Fact]] = [(scrape.at, scrape) for scrape in scrapes]
    for number, request in enumerate(recording.requests):
        if start <= request.arrival <= end:
            timed.append((request.arrival, RequestStarted(request.arrival, "0")))
        if start <= request.finish <= end:
            named = msgspec.structs.replace(request, tenant=f"tenant {number % 7}", source="log")
            timed += [(request.finish, named), (request.finish, RequestAborted(request.finish, "0"))][: 2 - number % 2]
    spans, positions = SeenSpans(), Positions()
    spans.add(bytes(24))
    mark = Mark(device=1, inode=2, offset=3000, head_length=1024, head="00" * 8, tail="11" * 8, unfinished=40)
    with tempfile.TemporaryDirectory() as folder:
        file = StateFile(Path(folder) / "state.json")
        fleet, metrics = Fleet(CoreOptions()), SelfMetrics()
        intake = Intake(fleet, metrics)
        kept = StateKeeper(intake, file, metrics, positions, spans)
        positions.update(NAME, "/log", {mark.key: mark})
        fleet.restore_models({"llama": {"": [3.0, start], "decode": [5.0, start]}})
        intake.add(NAME, recording.settings)
        intake.observe(NAME, Settings(12, source=SettingSource.LOG))
        intake.logged(NAME, (), dict.fromkeys(LINE_RESULTS, 5))
        for _, fact in sorted(timed, key=lambda one: one[0]):
            intake.observe(NAME, fact)
        kept.save()
        return file.path.read_bytes().partition(b"\n")[2].decode()


def sections(state: Any) -> list[list[Place]]:
    """The places by what they are part of, so that a long list does not draw all changes to itself."""
    try:
        engine = state["engines"][NAME][0]
        parts = [*state.values(), *engine.values(), *engine["logs"].values(), *engine["logs"]["requests"].values()]
    except (KeyError, TypeError, AttributeError, IndexError):
        return []  # changed so far that nothing of it is left
    found = [list(places(part)) for part in parts]
    return [[*places({"": state})][:1], *(own for own in found if own)]


def changed(made: list[Change]) -> bytes:
    """A state file with these changes."""
    state = json.loads(learnt())
    change(state, made, sections)
    return sealed(marked(json.dumps(state), MARKS).encode())


def sealed(body: bytes) -> bytes:
    """A state file with such a content, and a checksum that fits."""
    head = {"version": VERSION, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


def _is_whole(state: Any) -> bool:
    try:
        return bool(sections(state))
    except (KeyError, TypeError, AttributeError, IndexError):
        return False


class Words(logging.Handler):
    """The names of the events that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a name."""
        self.names.append(record.getMessage())


def start(content: bytes, folder: Path) -> list[str]:
    """Begin with a state file, watch its server for some scrapes, and save; the events that were logged.

    Raises where anything was wrong on the way.
    """
    words, logger = Words(), logging.getLogger("kvwatch")
    level = logger.level
    logger.addHandler(words)
    logger.setLevel(logging.INFO)
    try:
        return _start(content, folder, words)
    finally:
        logger.removeHandler(words)
        logger.setLevel(level)


def _start(content: bytes, folder: Path, words: Words) -> list[str]:
    recording, metrics, fleet = load(RECORDING), SelfMetrics(), Fleet(CoreOptions())
    path = folder / "state.json"
    path.write_bytes(content)
    intake = Intake(fleet, metrics)
    kept = StateKeeper(intake, StateFile(path), metrics, Positions(), SeenSpans())
    intake.add(NAME, recording.settings)
    kept.restore(NAME)
    taken = "state_restored" in words.names
    assert taken or fleet.dump() == {NAME: []}, "half of a state was taken up"
    for scrape in recording.scrapes[STOPPED : STOPPED + SCRAPES]:
        intake.observe(NAME, scrape)
        check(fleet, scrape.at)
    metrics.release(NAME)
    kept.keep(NAME)
    kept.restore(NAME)
    kept.save()
    faults = [labels for labels, value in metrics.samples()["kvwatch_internal_errors_total"] if value]
    assert not faults, f"a fault of {faults} was caught"
    assert StateFile(path).load() != Checkpoint(), "what was saved cannot be read"
    assert path.stat().st_size < LARGEST_RATIO * len(learnt()), "what was saved is far larger than what was"
    return words.names


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""
    with tempfile.TemporaryDirectory() as folder:

        def attempt(made: list[Change]) -> int:
            start(changed(made), Path(folder))
            return 1

        return drawn(seconds, CHANGES, attempt, "states")


if __name__ == "__main__":
    command("tests.fuzz.states", __doc__, run_hypothesis)
