"""Restarts tell nobody anything; a file of its own, so that it can run beside the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import FRESH, SPEED, Stack, restart, stack, until

pytestmark = pytest.mark.prometheus
LONG_AWAY = {"KvwatchTargetDown", "KvwatchDown"}


def tickets(stack: Stack) -> set[str]:
    """Names of the alerts that there have been tickets about."""
    return {a["labels"]["alertname"] for a in stack.tickets.alerts("firing")}


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Stack]:
    """An engine at three quarters of what it can sustain: any trend that a restart makes up would page."""
    with stack(tmp_path, "steady") as parts:
        yield parts


def test_a_restart_of_any_part_tells_nobody(steady: Stack) -> None:
    """Each in turn, until ρ is known again and its trends could page; an engine that stays away does make a ticket."""
    until(lambda: steady.value("model:kvwatch_utilization:ratio5m") is not None, "ρ")
    away = 0.0
    for part in steady.parts.values():
        away = max(away, restart(part))
        until(lambda: steady.value(FRESH) is not None, "ρ")
    assert steady.webhook.notifications == []
    # what is away for five minutes is rightly told of
    assert tickets(steady) <= (LONG_AWAY if away * SPEED > 200 else set())
    steady.parts["engine"].stop()
    until(lambda: "KvwatchTargetDown" in tickets(steady), "a ticket")
    assert steady.webhook.notifications == []
