"""Files that an older kvwatch has left are taken up by this one, never misread."""

from __future__ import annotations

import gzip
import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from kvwatch.config import load_config
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import Scrape, Settings
from kvwatch.shell.emulator.recording import EPOCH, record_virtual
from kvwatch.shell.intake import Intake
from kvwatch.shell.recordings.replay import Recording
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state.file import StateFile
from kvwatch.shell.state.keeper import StateKeeper
from kvwatch.shell.tail import Positions
from tests.shell.conftest import DATA

FILES = DATA / "upgrade"
NAME = "vllm:8000"
WRITTEN = 1_795_981_310.0
"""When the file was written [unix s]."""
SAID = 8.41, 7.38, 9.59
"""The service rate that the older kvwatch exported as it wrote the file, and its interval [requests/s]."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The older state file."""
    path = tmp_path / "state.json"
    path.write_bytes(gzip.decompress((FILES / "state-2026-11-22.json.gz").read_bytes()))
    return path


def started(path: Path | None) -> tuple[Intake, Positions]:
    """A kvwatch that watches the engine again, with what the file has of it."""
    intake = Intake(Fleet(CoreOptions()), SelfMetrics(), lambda: 0.0)
    positions = Positions()
    kept = StateKeeper(intake, StateFile(path) if path else None, positions=positions)
    intake.add(NAME, Settings(256, 8192, source="config"))
    kept.restore(NAME)
    return intake, positions


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory: pytest.TempPathFactory) -> list[Scrape]:
    """Half a minute of the engine, an hour after the file was written."""
    folder = tmp_path_factory.mktemp("engine") / "recording"
    record_virtual(SCENARIOS["chat"], folder, seconds=30.0, seed=1)
    recording = Recording(folder, pytest.fail)
    later = WRITTEN + 3600.0 - EPOCH
    return [replace(scrape, at=scrape.at + later) for scrape in recording.scrapes() if isinstance(scrape, Scrape)]


def rates(intake: Intake, scrapes: list[Scrape]) -> list[Estimate | None]:
    """What is said of the service rate after each scrape."""
    said = []
    for scrape in scrapes:
        intake.observe(NAME, scrape)
        engines = intake.view(scrape.at).targets[0].engines
        said.append(engines[0].service_rate if engines else None)
    return said


def known(said: list[Estimate | None]) -> int:
    """How many scrapes it took until the rate was known."""
    return next(number for number, one in enumerate(said) if one is not None and one.value is not None)


def width(estimate: Estimate | None) -> float:
    """Of the interval [requests/s]."""
    assert estimate is not None
    assert estimate.lower is not None
    assert estimate.upper is not None
    return estimate.upper - estimate.lower


def test_what_was_learnt_is_taken_up(old: Path, scrapes: list[Scrape], caplog: pytest.LogCaptureFixture) -> None:
    """Half a minute later the rate is within what it was said to be; it is known sooner and better than without."""
    caplog.set_level(logging.INFO)
    intake, positions = started(old)
    assert [message for message in caplog.messages if "rejected" in message] == []
    assert "state_restored" in caplog.messages
    assert list(positions.dump()) == [NAME]
    after, without = rates(intake, scrapes), rates(started(None)[0], scrapes)
    assert known(after) < known(without)
    last, new = after[-1], without[-1]
    assert last is not None
    assert last.verdict is Reason.OK
    _rate, lower, upper = SAID
    assert last.value is not None
    assert lower < last.value < upper
    assert width(last) < width(new)


@pytest.mark.parametrize("part", ["law", "calibration", "mix", "logs"])
def test_a_part_that_cannot_be_read_is_set_aside_with_a_word(
    old: Path, scrapes: list[Scrape], caplog: pytest.LogCaptureFixture, part: str
) -> None:
    """The target learns as if there had been no file: no half of a state is believed."""
    header, _, body = old.read_bytes().partition(b"\n")
    state = orjson.loads(body)
    state["engines"][NAME][0][part] = {"of": "another form"}
    changed = orjson.dumps(state)
    head = orjson.loads(header) | {"sha256": hashlib.sha256(changed).hexdigest()}
    old.write_bytes(orjson.dumps(head) + b"\n" + changed)
    intake, _ = started(old)
    assert "state_rejected" in caplog.messages
    assert rates(intake, scrapes) == rates(started(None)[0], scrapes)


def test_the_configuration_of_before_is_one_of_now() -> None:
    """Every key of the older example is known and means the same: the defaults."""
    config = load_config(FILES / "config-2026-11-22.yaml")
    now = load_config(DATA.parents[1] / "kvwatch.example.yaml")
    assert (config.scrape, config.log, config.targets) == (now.scrape, now.log, now.targets)
