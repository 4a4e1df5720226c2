"""Refused lines are shown in kvwatch's log, often enough to be seen and seldom enough to be read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvwatch.parse.logs import Reading, Sample
from kvwatch.shell.tail.positions import Positions
from kvwatch.shell.tail.source import Batch
from kvwatch.shell.tail.tailer import LogTail
from tests.shell.tail.conftest import events


def shown(caplog: pytest.LogCaptureFixture) -> list[tuple[object, object]]:
    """Path and reason of each line shown since the last look."""
    found = [(fields["path"], fields["reason"]) for name, fields in events(caplog) if name == "log_line_refused"]
    caplog.clear()
    return found


def test_lines_without_tokens_are_shown_once_a_day(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway writes one for each health check; other reasons are shown every five minutes, each source apart."""
    now = 0.0
    monkeypatch.setattr("kvwatch.shell.tail.tailer.time", SimpleNamespace(monotonic=lambda: now))
    tail = LogTail("t", (), Positions(), deliver=lambda _, __: None, caught_up=lambda: None, clock=lambda: now)

    def take(source: str) -> None:
        reading = Reading()
        for reason in ("no_tokens", "not_json"):
            reading.reject(reason, Sample(0, 10))
        tail._take(source, Batch(source, reading))

    for source in ("a", "a", "b"):
        take(source)
    assert shown(caplog) == [(source, reason) for source in "ab" for reason in ("no_tokens", "not_json")]
    now = 301.0
    take("a")
    assert shown(caplog) == [("a", "not_json")]
    now = 86_401.0
    take("a")
    assert shown(caplog) == [("a", "no_tokens"), ("a", "not_json")]
