"""The views of many targets come round again and again, and scrapes do not wait for them."""

from __future__ import annotations

import asyncio

import pytest

from kvwatch.core.fleet import MANY_TARGETS, Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineKey, EngineSample, Scrape, Settings
from kvwatch.shell import view_turns
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics

SAMPLE = EngineSample(EngineKey("m", "0"), running=1.0, waiting=0.0)


async def _shown(count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many of so many targets show an engine before any turn, and after a while of turns."""
    monkeypatch.setattr(view_turns, "IDLE_SECONDS", 0.001)
    intake = Intake(Fleet(CoreOptions()), SelfMetrics())
    for target in range(count):
        intake.add(str(target), Settings())
    turning = asyncio.create_task(view_turns.keep_viewing(intake, lambda: 1_000.0))
    await asyncio.sleep(0.01)
    for target in range(count):
        intake.observe(str(target), Scrape(1_000.0, (SAMPLE,)))
    shown = [0]
    for _ in range(20_000):
        shown.append(sum(bool(target.engines) for target in intake.view(1_000.0).targets))
        if shown[-1] == count:
            break
        await asyncio.sleep(0.001)
    turning.cancel()
    return shown[1], shown[-1]


async def test_many_targets_are_shown_once_they_have_had_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """None before, all of them a little later."""
    assert await _shown(MANY_TARGETS + 1, monkeypatch) == (0, MANY_TARGETS + 1)


async def test_few_targets_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their views are made when they are asked for."""
    assert await _shown(MANY_TARGETS, monkeypatch) == (MANY_TARGETS, MANY_TARGETS)


def test_views_make_way_while_the_process_is_late_and_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """From a sixth of a core to a hundredth, and back when it is in time; a second time is a new one."""
    rest = view_turns.Rest()
    assert rest.seconds(0.001) == pytest.approx(0.005)
    with caplog.at_level("WARNING"):
        for _ in range(20):
            rest.noted(late=0.5)
        assert rest.seconds(0.001) == pytest.approx(0.08)
        assert [record.message for record in caplog.records] == ["estimates_late"]
        for _ in range(3):
            rest.noted(late=0.01)
            rest.noted(late=0.5)  # it is late again before it has been in time for long: the same spell
        assert len(caplog.records) == 1
        for _ in range(20):
            rest.noted(late=0.01)
        assert rest.seconds(0.001) == pytest.approx(0.005)
        for _ in range(20):
            rest.noted(late=0.5)
    assert len(caplog.records) == 2
