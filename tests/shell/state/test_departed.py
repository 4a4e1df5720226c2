"""What is kept of targets that are gone is bounded, whatever comes and goes, and given back to those that return."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import orjson
import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.state import departed
from kvwatch.shell.state.departed import Departed, DepartedTargets
from kvwatch.shell.state.file import Checkpoint, StateFile
from kvwatch.shell.state.keeper import StateKeeper
from kvwatch.shell.tail import Positions
from kvwatch.shell.tail.positions import Mark
from tests.core.recordings import load

NAME = "seqcap"
DAY = 86400.0
AFTER = load(NAME).scrapes[-1].at


class Life:
    """A kvwatch from one start to the next, at a time that the test sets [s after the recording]."""

    def __init__(self, path: Path, now: float = 0.0) -> None:
        self.now = now
        self.file = StateFile(path)
        self.fleet = Fleet(CoreOptions())
        self.positions = Positions()
        metrics = SelfMetrics()
        self.intake = Intake(self.fleet, metrics)
        self.keeper = StateKeeper(self.intake, self.file, metrics, self.positions, clock=lambda: AFTER + self.now)

    def come(self, target: str, *, learns: bool = False) -> None:
        """A target is found, and may be watched for some minutes."""
        recording = load(NAME)
        self.intake.add(target, recording.settings)
        self.keeper.restore(target)
        for scrape in recording.scrapes[90:340:5] if learns else ():
            self.intake.observe(target, scrape)

    def go(self, target: str) -> None:
        """It is found no longer."""
        self.keeper.keep(target)
        self.intake.remove(target)


def known(file: StateFile) -> set[str]:
    """The targets in a state file."""
    return set(file.load().engines)


def test_a_target_that_comes_back_goes_on_from_where_it_was(tmp_path: Path) -> None:
    """Whether the process was the same or another one in between."""
    life = Life(tmp_path / "state.json")
    life.come("pod", learns=True)
    learnt = life.fleet.dump()["pod"]
    assert learnt
    life.go("pod")
    assert life.fleet.dump() == {}
    life.come("pod")
    assert life.fleet.dump()["pod"] == learnt
    life.go("pod")
    life.keeper.save()
    life = Life(life.file.path)
    life.come("pod")
    assert life.fleet.dump()["pod"] == learnt


def test_a_target_that_is_gone_for_a_week_is_forgotten_over_restarts_too(tmp_path: Path) -> None:
    """The time goes on while kvwatch is restarted every day; a target that is watched all the time stays."""
    life = Life(tmp_path / "state.json")
    life.come("gone", learns=True)
    life.come("stays", learns=True)
    life.go("gone")
    life.keeper.save()
    seen = []
    for day in range(1, 11):
        life = Life(life.file.path, now=day * DAY)
        life.come("stays")
        life.keeper.save()
        seen.append(known(life.file))
    assert seen == [{"gone", "stays"}] * 7 + [{"stays"}] * 3


def test_what_was_watched_at_the_end_waits_to_be_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More targets than are kept of the gone ones lose nothing in a restart, if they are found within the hour."""
    monkeypatch.setattr(departed, "MOST_TARGETS", 3)
    states = {f"pod-{number}": [{"model_name": "m", "engine": "0"}] for number in range(10)}
    file = StateFile(tmp_path / "state.json")
    file.save(Checkpoint(states))
    life = Life(file.path)
    life.now = departed.FIND_SECONDS - 1
    life.keeper.save()
    assert known(file) == set(states)
    life.now = departed.OUTAGE_SECONDS
    life.keeper.save()
    assert known(file) == set(states)
    life.now += 1
    life.keeper.save()
    assert len(known(file)) == 3


def test_ten_thousand_pods_that_come_and_go_leave_a_bounded_file_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod a minute under a name of its own, each with what a real engine teaches: neither file nor memory grow."""
    teacher = Life(tmp_path / "other.json")
    teacher.come("pod", learns=True)
    learnt = teacher.fleet.dump()["pod"]
    life = Life(tmp_path / "state.json")
    monkeypatch.setattr(life.intake, "dump_target", lambda _target: learnt)
    sizes = []
    tracemalloc.start()
    try:
        for number in range(10_000):
            life.now = 60.0 * number
            name = f"vllm-{number:05d}"
            life.intake.add(name, Settings())
            life.go(name)
            if number % 2500 == 2499:
                life.keeper.save()
                sizes.append((life.file.path.stat().st_size, tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    files, memory = zip(*sizes, strict=True)
    assert max(files) < departed.MOST_BYTES * 1.05
    assert max(memory) - memory[0] < 1 << 20
    newest = f"vllm-{9_999:05d}"
    assert newest in known(life.file)
    assert len(known(life.file)) <= departed.MOST_TARGETS
    life.intake.add(newest, Settings())
    life.keeper.restore(newest)
    assert life.fleet.dump()[newest] == orjson.loads(orjson.dumps(learnt))


def test_positions_and_settings_of_a_forgotten_target_go_with_it(tmp_path: Path) -> None:
    """Nothing by its name is left, in memory or in the file."""
    life = Life(tmp_path / "state.json")
    life.come("pod", learns=True)
    life.intake.observe("pod", Settings(max_num_seqs=8, source=SettingSource.LOG))
    life.positions.update("pod", "log", {(1, 2): Mark(1, 2)})
    life.go("pod")
    life.now = departed.KEEP_SECONDS
    life.keeper.save()
    content = life.file.load()
    assert [set(part) for part in (content.engines, content.positions, content.settings)] == [{"pod"}] * 3
    life.now += 1
    life.keeper.save()
    assert "pod" not in life.file.path.read_text(encoding="utf-8")
    assert not life.positions


@pytest.mark.parametrize("seen", ["yesterday", -1.0, 1e12, True, None])
def test_a_time_that_cannot_be_one_is_that_of_the_start(seen: object) -> None:
    """A file of a machine whose clock was ahead does not keep a target for ever."""
    targets = DepartedTargets()
    targets.load({"pod": []}, {}, {"pod": seen}, now=1000.0)
    assert targets.expire(1000.0 + departed.FIND_SECONDS) == []
    assert targets.seen() == {"pod": 1000.0}


def test_of_too_many_the_one_that_is_gone_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; one that comes and goes again counts as new."""
    monkeypatch.setattr(departed, "MOST_TARGETS", 3)
    monkeypatch.setattr(departed, "MOST_BYTES", 100)
    targets = DepartedTargets()
    gone = [targets.put(name, Departed(float(at), b"x")) for at, name in enumerate("abcade")]
    assert gone == [[], [], [], [], ["b"], ["c"]]
    assert targets.put("f", Departed(6.0, b"x" * 99)) == ["a", "d"]


def leave_together(life: Life, monkeypatch: pytest.MonkeyPatch, count: int) -> list[dict[str, object]]:
    """A fleet, each with what a real engine teaches, is out of sight at a stroke; what each has learnt."""
    teacher = Life(life.file.path.with_name("other.json"))
    teacher.come("pod", learns=True)
    learnt: list[dict[str, object]] = orjson.loads(orjson.dumps(teacher.fleet.dump()["pod"]))
    monkeypatch.setattr(life.intake, "dump_target", lambda _target: learnt)
    for number in range(count):
        life.intake.add(f"pod-{number:04d}", Settings())
    for number in range(count):
        life.go(f"pod-{number:04d}")
    return learnt


@pytest.mark.long
def test_a_thousand_engines_that_are_out_of_sight_together_come_back_with_all_that_they_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are more than is kept of single ones that come and go, and within the hour none is forgotten."""
    monkeypatch.setattr(departed, "MOST_BYTES", 4 << 20)
    life = Life(tmp_path / "state.json")
    learnt = leave_together(life, monkeypatch, 1000)
    assert len(orjson.dumps(learnt)) * 1000 > departed.MOST_BYTES * 1.2
    life.now = departed.OUTAGE_SECONDS
    life.keeper.save()
    for number in range(1000):
        life.intake.add(f"pod-{number:04d}", Settings())
        life.keeper.restore(f"pod-{number:04d}")
    found = life.fleet.dump()
    assert all(orjson.loads(orjson.dumps(states)) == learnt for states in found.values())
    assert len(found) == 1000


def test_after_an_hour_a_fleet_that_has_left_is_single_engines_that_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the file is small again; and what comes and goes meanwhile adds nothing to as many as were watched at once."""
    life = Life(tmp_path / "state.json")
    leave_together(life, monkeypatch, 1000)
    for number in range(100):
        life.now += 10.0
        life.intake.add(f"new-{number}", Settings())
        life.go(f"new-{number}")
    life.keeper.save()
    assert len(known(life.file)) == 1000
    life.now = departed.OUTAGE_SECONDS + 1
    life.keeper.save()
    assert life.file.path.stat().st_size < departed.MOST_BYTES * 1.05
    assert {f"new-{number}" for number in range(100)} < known(life.file)
