"""An overload is one page until it is over, whatever restarts and whatever can be seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import FRESH, SPEED, Stack, restart, stack, until

pytestmark = pytest.mark.prometheus
GROUP_SECONDS = 330 / SPEED
"""After so long Alertmanager has told whatever it has to tell."""
LOAD, BLIND = {f"Kvwatch{name}" for name in ("SaturationApproaching", "Saturated", "Overloaded")}, "KvwatchBlind"
FULL = f"({FRESH}) > 1"


@pytest.fixture
def overload(tmp_path: Path) -> Iterator[Stack]:
    """An engine that gets a fifth more than it can sustain."""
    with stack(tmp_path, "overload") as parts:
        yield parts


def test_an_overload_is_one_page_whatever_restarts_and_while_nothing_can_be_seen(overload: Stack) -> None:
    """Each part in turn, then the engine for longer than a page outlives its condition: never is it said to be over."""
    page = overload.webhook
    until(lambda: bool(page.alerts("firing")), "a page")
    for name, part in overload.parts.items():
        restart(part)
        until(lambda: overload.value(FULL) is not None and bool(overload.told() & LOAD), f"the page after {name}")
    overload.parts["engine"].stop()
    until(lambda: overload.told() & {*LOAD, BLIND} == {BLIND}, "the page of what cannot be seen")
    until(lambda: BLIND in {a["labels"]["alertname"] for a in page.alerts("firing")}, "its notification")
    overload.parts["engine"].start()
    until(lambda: overload.value(FULL) is not None and bool(overload.told() & LOAD), "the overload again")
    time.sleep(GROUP_SECONDS)
    assert {n["status"] for n in page.notifications} == {"firing"}
    assert len({n["groupKey"] for n in page.notifications}) == 1
