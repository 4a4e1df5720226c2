"""The folder that outlives a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvwatch.shell.backtest.checkpoint import SERVERS, Checkpoint, CheckpointError

ASKED = {"prometheus": "http://prometheus:9090", "start": ["ago", 604800.0]}


def test_the_same_question_goes_on_with_the_times_that_it_began_with(tmp_path: Path) -> None:
    """Seven days ago means what it meant when the servers were read."""
    first = Checkpoint.named(tmp_path, ASKED)
    first.open({"start": 1.0, "end": 2.0}, fresh=False)
    first.write({**first.found, SERVERS: ["a"]})
    again = Checkpoint.named(tmp_path, ASKED)
    again.open({"start": 5.0, "end": 6.0}, fresh=False)
    assert again.resumed
    assert again.found == {"start": 1.0, "end": 2.0, SERVERS: ["a"]}


def test_what_failed_before_anything_was_read_begins_with_the_times_of_now(tmp_path: Path) -> None:
    """A wrong token on Monday must not make Tuesday's report end on Monday."""
    Checkpoint.named(tmp_path, ASKED).open({"start": 1.0, "end": 2.0}, fresh=False)
    again = Checkpoint.named(tmp_path, ASKED)
    again.open({"start": 5.0, "end": 6.0}, fresh=False)
    assert not again.resumed
    assert again.found == {"start": 5.0, "end": 6.0}


def test_fresh_begins_again(tmp_path: Path) -> None:
    """Whatever there was."""
    first = Checkpoint.named(tmp_path, ASKED)
    first.open({"start": 1.0, "end": 2.0}, fresh=False)
    first.write({**first.found, SERVERS: ["a"]})
    (first.folder / "servers").mkdir()
    again = Checkpoint.named(tmp_path, ASKED)
    again.open({"start": 5.0, "end": 6.0}, fresh=True)
    assert again.found == {"start": 5.0, "end": 6.0}
    assert not (again.folder / "servers").exists()


def test_another_question_has_another_folder(tmp_path: Path) -> None:
    """And in a folder of one's own choice it is refused."""
    other = {**ASKED, "start": ["ago", 60.0]}
    assert Checkpoint.named(tmp_path, ASKED).folder != Checkpoint.named(tmp_path, other).folder
    Checkpoint(tmp_path / "mine", ASKED).open({}, fresh=False)
    with pytest.raises(CheckpointError, match="is of another backtest"):
        Checkpoint(tmp_path / "mine", other).open({}, fresh=False)


def test_a_damaged_note_is_said_with_what_to_do(tmp_path: Path) -> None:
    """It is not guessed at."""
    first = Checkpoint(tmp_path / "mine", ASKED)
    first.open({}, fresh=False)
    (tmp_path / "mine" / "backtest.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged; give --fresh"):
        Checkpoint(tmp_path / "mine", ASKED).open({}, fresh=False)
