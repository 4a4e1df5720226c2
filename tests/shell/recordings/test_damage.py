"""Whatever the files of a recording hold, a replay says what it can, reports the rest, and ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from kvwatch.cli.main import main
from tests.fuzz.recordings import DAMAGES, recorded, replayed
from tests.fuzz.trees import Change


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(DAMAGES)
def test_a_damaged_recording_is_replayed_as_far_as_it_goes(damage: tuple[list[Change], bytes, int, bool]) -> None:
    """Values of other types and sizes, and some bytes in the middle of a file: no number is NaN or infinite."""
    replayed(damage)


@pytest.mark.parametrize("at", [-1.0, 1e12, 1e300])
def test_a_time_that_no_calendar_has_is_skipped(tmp_path: Path, at: float, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of the command prints times of day; the scrapes around it are replayed."""
    lines = [dict(line) for line in recorded()["scrapes.jsonl"][:3]]
    lines[1]["t"] = at
    (tmp_path / "scrapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["replay", str(tmp_path), "--every", "0s"]) == 0
    assert "scrapes.jsonl:2: bad_time; skipped" in capsys.readouterr().err


def test_a_gap_of_decades_between_two_scrapes_costs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the counters rose by in 55 years is no traffic of one request."""
    lines = [dict(line) for line in recorded()["scrapes.jsonl"]]
    lines[0]["t"] = 3.0
    (tmp_path / "scrapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "settings.json").write_text(json.dumps(recorded()["settings.json"][0]))
    assert main(["replay", str(tmp_path), "--every", "0s"]) == 0
    assert capsys.readouterr().out.count("\n") >= len(lines)
