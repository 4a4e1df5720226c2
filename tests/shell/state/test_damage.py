"""A state file that says nonsense is refused with its place, and the daemon begins without it."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from kvwatch.core.fleet import Fleet
from kvwatch.core.kept import StateError
from kvwatch.core.options import CoreOptions
from kvwatch.shell.state.file import Checkpoint, StateFile
from kvwatch.shell.tail import Positions
from tests.core.recordings import load
from tests.fuzz.states import CHANGES, NAME, RECORDING, STOPPED, changed, learnt, sealed, start
from tests.fuzz.trees import Change


@pytest.mark.long
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES)
def test_a_damaged_state_is_taken_up_whole_or_refused(made: list[Change]) -> None:
    """With whatever in it: the server is watched, no number is NaN or infinite, and what is saved then is in bounds."""
    with tempfile.TemporaryDirectory() as folder:
        start(changed(made), Path(folder))


def test_the_state_that_is_damaged_is_a_good_one(tmp_path: Path) -> None:
    """It is taken up without a warning, all its sections are there, and none is empty."""
    assert [name for name in start(sealed(learnt().encode()), tmp_path) if "rejected" in name] == []
    state = json.loads(learnt())
    assert all(state[name] for name in Checkpoint.__slots__ if name != "seen")
    engine = state["engines"][NAME][0]
    assert all(engine.values())
    assert all(engine["logs"].values())


def engines() -> list[dict[str, Any]]:
    """What the state says of the target's engines."""
    found: list[dict[str, Any]] = json.loads(learnt())["engines"][NAME]
    return found


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (["model_name"], 7, "engine 0: model_name and engine must be text"),
        (["calibration"], {}, "engine 0: calibration: 'log_factor' is missing"),
        (["calibration", "log_factor"], 10**400, "engine 0: calibration: int too large to convert to float"),
        (["logs", "requests", "sizes"], [float("inf"), 1], "engine 0: logs: requests: cannot convert float infinity"),
        (["logs", "arrivals", "starts", "starts", "bins"], [[]], "engine 0: logs: arrivals: not enough values"),
        (["logs"], [], "engine 0: logs: not an object"),
        (["mix", "spans"], None, "engine 0: mix: spans must be a list"),
        (["kv_capacity", "shown"], 5e-324, "engine 0: kv_capacity: 5e-324 is no size of a KV cache"),
        (["law", "cells", 0, 2], 0.0, "engine 0: law: the weight of load level"),
        (["law", "cells", 0, 3, 1], 1e9, "engine 0: law: the sums of load level"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, list) else "",
)
def test_the_refusal_names_the_place(path: list[Any], value: Any, why: str) -> None:
    """Whatever the damage leads to is one kind of error, whose words begin with what part of which engine."""
    states = engines()
    inner: Any = states[0]
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    fleet = Fleet(CoreOptions())
    fleet.add(NAME, load(RECORDING).settings)
    with pytest.raises(StateError) as caught:
        fleet.restore(NAME, states)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize("share", [-2.0, -(2.0**63), 1.0, 7.0])
@pytest.mark.parametrize("name", ["watermark_ratio", "world_size", "own_budget_tokens", "prefill_schedule_interval"])
def test_settings_that_no_server_has_are_not_taken_up(name: str, share: float, tmp_path: Path) -> None:
    """No share of the memory is negative or all of it, and nothing that is counted is below 1."""
    state = json.loads(learnt())
    state["settings"][NAME][name] = share if name == "watermark_ratio" else -abs(int(share))
    start(sealed(json.dumps(state).encode()), tmp_path)


def test_of_two_engines_neither_is_taken_up_where_one_cannot_be() -> None:
    """No half of a state is believed."""
    (good,) = engines()
    fleet = Fleet(CoreOptions())
    fleet.add(NAME, load(RECORDING).settings)
    with pytest.raises(StateError, match="engine 1: law: not an object"):
        fleet.restore(NAME, [good, good | {"engine": "1", "law": 3}])
    assert fleet.dump() == {NAME: []}


def test_what_was_learnt_under_a_clock_that_was_ahead_is_refused() -> None:
    """Two hours from now: its windows would take each request that comes for an old one."""
    saved = load(RECORDING).scrapes[STOPPED - 1].at
    fleet = Fleet(CoreOptions())
    fleet.add(NAME, load(RECORDING).settings)
    with pytest.raises(StateError, match="at: a time that is yet to come"):
        fleet.restore(NAME, engines(), saved - 7200.0)
    fleet.restore(NAME, engines(), saved - 1.0)
    assert fleet.dump()[NAME][0]["at"] == saved


@pytest.mark.parametrize("depth", [300, 3000])
def test_lists_in_lists_are_set_aside(tmp_path: Path, depth: int, caplog: pytest.LogCaptureFixture) -> None:
    """A depth that can be read, not written, would stop each save to come."""
    path = tmp_path / "state.json"
    path.write_bytes(sealed(b'{"settings":{"a":' + b"[" * depth + b"]" * depth + b"}}"))
    caplog.set_level(logging.INFO)
    assert StateFile(path).load() == Checkpoint()
    assert caplog.messages == ["state_rejected"]


def test_what_a_checksum_does_not_fit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file of any size takes no more memory than its bytes."""
    path = tmp_path / "state.json"
    path.write_bytes(sealed(b'{"engines":{}}') + b" ")
    read: list[bytes] = []
    monkeypatch.setattr("kvwatch.shell.state.file.orjson.dumps", read.append)
    assert StateFile(path).load() == Checkpoint()
    assert len(read) == 1  # the header


@pytest.mark.parametrize("change", [{"head_length": 2**40}, {"offset": 2**64}, {"unfinished": 2**40}, {"inode": -1}])
def test_a_position_that_no_file_has_is_refused(change: dict[str, int]) -> None:
    """What is read at a mark is as long as the mark says, so its lengths are bounded."""
    marks = json.loads(learnt())["positions"]
    (mark,) = marks[NAME]["/log"]
    with pytest.raises(StateError, match="positions: "):
        Positions().restore({NAME: {"/log": [mark | change]}})
