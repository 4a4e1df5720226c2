"""What was learnt survives a restart, and nothing damaged is ever learnt from."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import orjson
import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state import keeper
from kvwatch.shell.state.file import Checkpoint, StateFile
from kvwatch.shell.state.keeper import StateKeeper
from tests.core.recordings import load

NAME = "seqcap"


def learnt() -> Fleet:
    """A fleet that has seen five minutes of a recorded engine."""
    recording = load(NAME)
    fleet = Fleet(CoreOptions())
    fleet.add(NAME, recording.settings)
    for scrape in recording.scrapes[90:340]:
        fleet.observe(NAME, scrape)
    return fleet


def restarted(path: Path) -> tuple[Fleet, StateKeeper]:
    """A new fleet with one target, and its keeper, as after a restart."""
    fleet = Fleet(CoreOptions())
    intake = Intake(fleet, SelfMetrics())
    kept = StateKeeper(intake, StateFile(path))
    intake.add(NAME, load(NAME).settings)
    return fleet, kept


def test_a_saved_state_is_read_back_whole(tmp_path: Path) -> None:
    """Through the file, what a new fleet dumps is what the old one did."""
    path = tmp_path / "kept" / "state.json"
    before = learnt().dump()
    assert StateFile(path).save(Checkpoint(before))
    fleet, kept = restarted(path)
    kept.restore(NAME)
    assert fleet.dump() == before
    assert not list(path.parent.glob(".*"))


def test_replicas_required_are_kept_over_a_restart(tmp_path: Path) -> None:
    """Of a model with the time when all was known last, by both ways in which a checkpoint is put together."""
    path = tmp_path / "state.json"
    models = {"llama": {"": [3.0, 1000.0], "decode": [5.0, 900.0]}}
    StateFile(path).save(Checkpoint(models=models))
    fleet, kept = restarted(path)
    assert fleet.dump_models() == models
    kept.save()
    assert StateFile(path).load().models == models
    assert asyncio.run(kept._gathered()).models == models


def test_numbers_of_models_that_cannot_be_any_cost_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What has been learnt of engines is taken up all the same, and the log says so."""
    path = tmp_path / "state.json"
    before = learnt().dump()
    StateFile(path).save(Checkpoint(before, models={"llama": {"": "three"}}))
    fleet, kept = restarted(path)
    kept.restore(NAME)
    assert fleet.dump() == before
    assert fleet.dump_models() == {}
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == ["models_rejected"]


def test_spans_that_cannot_be_any_cost_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What has been learnt is taken up all the same."""
    path = tmp_path / "state.json"
    before = learnt().dump()
    StateFile(path).save(Checkpoint(before, spans={"newest": "no ids"}))
    fleet, kept = restarted(path)
    kept.restore(NAME)
    assert fleet.dump() == before
    assert "spans_rejected" in [record.getMessage() for record in caplog.records]


def test_the_first_minute_after_a_restart_knows_the_law_of_the_hours_before(tmp_path: Path) -> None:
    """With the state the service rate is there sixty scrapes later, within the bounds that hold in the long run."""
    path = tmp_path / "state.json"
    StateFile(path).save(Checkpoint(learnt().dump()))
    restored, kept = restarted(path)
    kept.restore(NAME)
    fresh, _ = restarted(tmp_path / "none.json")
    recording = load(NAME)
    phase = recording.steady[1]
    scrapes = [s for s in recording.scrapes if s.at >= phase.start][:62]
    half_widths = []
    for fleet in (restored, fresh):
        for scrape in scrapes:
            fleet.observe(NAME, scrape)
            for target, key, run in fleet.take_due_runs(scrape.at):
                fleet.correct(target, key, run.run())
        (view,) = fleet.view(scrapes[-1].at).targets[0].engines
        assert view.service_rate.value is not None
        assert view.service_rate.upper is not None
        half_widths.append(view.service_rate.upper / view.service_rate.value - 1)
        if fleet is restored:
            served = [p.service_rate for p in recording.steady if p.service_rate is not None]
            assert view.service_rate.value == pytest.approx(sum(served) / len(served), rel=0.16)
    assert half_widths[0] < half_widths[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b'"version":2', b'"version":99'),
        lambda content: content[:-9] + b"9" + content[-8:],
        lambda content: b"\x00\xff" * 100,
        lambda content: b"[]\n[]",
    ],
    ids=["empty", "cut", "version", "one byte", "binary", "lists"],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: object) -> None:
    """Nothing is restored, the file is kept under another name, and the next save works."""
    path = tmp_path / "state.json"
    file = StateFile(path)
    file.save(Checkpoint({NAME: [{"model_name": "m", "engine": "0"}]}))
    content = damage(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(content)
    assert file.load() == Checkpoint()
    assert not path.exists()
    assert (tmp_path / "state.json.rejected").read_bytes() == content
    assert file.save(Checkpoint())
    assert file.load() == Checkpoint()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"model_name": "m", "engine": "0", "law": 3, "calibration": {}},
        {"model_name": "m", "engine": "0", "law": {"largest": -1, "cells": []}, "calibration": {}},
        {"model_name": "m", "engine": "0", "law": {"largest": 1, "cells": [[1, 2]]}, "calibration": {}},
        {
            "model_name": "m",
            "engine": "0",
            "law": {"largest": 1, "cells": []},
            "calibration": {"log_factor": 9, "at": 0},
        },
    ],
)
def test_a_state_that_cannot_be_one_is_refused_and_the_target_starts_afresh(
    tmp_path: Path, state: dict[str, object]
) -> None:
    """A file that is sound but says nonsense does no harm."""
    path = tmp_path / "state.json"
    StateFile(path).save(Checkpoint({NAME: [state]}))
    fleet, kept = restarted(path)
    kept.restore(NAME)
    assert fleet.dump() == {NAME: []}


def test_a_file_of_the_version_before_is_still_read(tmp_path: Path) -> None:
    """It held the engines' states and nothing else."""
    path = tmp_path / "state.json"
    states = {NAME: [{"model_name": "m", "engine": "0"}]}
    body = orjson.dumps(states)
    header = orjson.dumps({"version": 1, "sha256": hashlib.sha256(body).hexdigest()})
    path.write_bytes(header + b"\n" + body)
    assert StateFile(path).load() == Checkpoint(states)


def test_a_write_that_comes_late_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    """A checkpoint that a thread was still to write is older than the one that the end of the process has written."""
    file = StateFile(tmp_path / "state.json")
    late = file.encode(Checkpoint(counters={"t": {"n": {"v": 1.0}}}))
    newer = Checkpoint(counters={"t": {"n": {"v": 2.0}}})
    assert file.save(newer)
    assert file.write(late)
    assert file.load() == newer


def test_no_file_is_no_fault_and_a_folder_that_cannot_be_written_is_survived(tmp_path: Path) -> None:
    """The daemon goes on in both cases."""
    assert StateFile(tmp_path / "none.json").load() == Checkpoint()
    (tmp_path / "file").write_text("")
    assert not StateFile(tmp_path / "file" / "state.json").save(Checkpoint())


async def test_a_checkpoint_of_many_targets_lets_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two targets at least; what is read back is what each of them was."""
    monkeypatch.setattr(keeper, "SAVE_WITH_LOGS_SECONDS", 0.01)
    monkeypatch.setattr(keeper, "SAVE_SECONDS", 0.01)
    recording, names = load(NAME), [f"t{i}" for i in range(5)]
    fleet = Fleet(CoreOptions())
    intake = Intake(fleet, SelfMetrics())
    for name in names:
        intake.add(name, recording.settings)
        for scrape in recording.scrapes[90:340:5]:
            intake.observe(name, scrape)
    order: list[str] = []
    dump_target = intake.dump_target

    def dumped(target: str) -> list[dict[str, object]]:
        order.append(target)
        asyncio.get_running_loop().call_soon(order.append, "others")
        return dump_target(target)

    monkeypatch.setattr(intake, "dump_target", dumped)
    file = StateFile(tmp_path / "state.json")
    saving = asyncio.create_task(StateKeeper(intake, file).keep_saving())
    async with asyncio.timeout(30):
        while not file.path.exists():  # noqa: ASYNC110 - a thread writes it
            await asyncio.sleep(0.01)
    saving.cancel()
    assert order[:10] == [step for name in names for step in (name, "others")]
    assert file.load().engines == fleet.dump()
