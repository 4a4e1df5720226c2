"""What happens again and again does not fill the log."""

from __future__ import annotations

import logging

import pytest

from kvwatch.shell import repeats
from kvwatch.shell.repeats import BURST, PERIOD_SECONDS, RepeatFilter


def record(text: str, *values: object, level: int = logging.WARNING, **fields: object) -> logging.LogRecord:
    """A record as an event or a library makes it."""
    made = logging.LogRecord("kvwatch", level, "", 0, text, values, None)
    made.fields = fields
    return made


def test_a_burst_passes_then_nothing_until_the_period_is_over_and_then_it_is_said_how_many_were_left_out() -> None:
    """Of a thousand within a minute, ten and a number."""
    now = 0.0
    repeated = RepeatFilter(lambda: now)
    assert sum(repeated.filter(record("target_down", target="a")) for _ in range(1000)) == BURST
    now = PERIOD_SECONDS
    first = record("target_down", target="a")
    assert repeated.filter(first)
    assert first.left_out == 1000 - BURST  # type: ignore[attr-defined]
    second = record("target_down", target="a")
    assert repeated.filter(second)
    assert not hasattr(second, "left_out")


def test_what_happens_elsewhere_or_is_something_else_is_not_left_out() -> None:
    """Each target, each mistake of a configuration, each level and each text has its own share."""
    repeated = RepeatFilter(lambda: 0.0)
    for _ in range(2 * BURST):
        repeated.filter(record("target_down", target="a"))
    assert not repeated.filter(record("target_down", target="a"))
    assert repeated.filter(record("target_down", target="b"))
    assert repeated.filter(record("target_up", target="a"))
    assert repeated.filter(record("target_down", target="a", level=logging.ERROR))
    assert all(repeated.filter(record("config_fault", fault=f"targets[{n}]")) for n in range(5 * BURST))


def test_what_a_library_says_is_one_kind_whatever_its_values_are() -> None:
    """As asyncio's messages that name a socket."""
    repeated = RepeatFilter(lambda: 0.0)
    passed = [repeated.filter(record("cannot use %s of %r", n, object())) for n in range(100)]
    assert sum(passed) == BURST


def test_kinds_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of targets come from outside."""
    monkeypatch.setattr(repeats, "MOST_KINDS", 100)
    repeated = RepeatFilter(lambda: 0.0)
    for number in range(1000):
        assert repeated.filter(record("target_down", target=str(number)))
    assert len(repeated._kinds) == 100
