"""A ramp pages a webhook in time and in words; recovery resolves it; restarts neither begin nor end a page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Part, Stack, need_prometheus, until

pytestmark = pytest.mark.prometheus
SPEED = 30.0
"""So that a scrape a second is one every 30 s of the rules, the middle of what they are made for."""
GROUP_SECONDS = 330 / SPEED
"""After so long Alertmanager has told whatever it has to tell."""
LOAD, BLIND = {f"Kvwatch{name}" for name in ("SaturationApproaching", "Saturated", "Overloaded")}, "KvwatchBlind"
FRESH = "timestamp(model:kvwatch_utilization:ratio5m) > time() - 3"
FULL = f"model:kvwatch_utilization:ratio5m > 1 and {FRESH}"


def _stack(folder: Path, course: str) -> Iterator[Stack]:
    need_prometheus()
    stack = Stack(folder, course, SPEED)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def ramp(tmp_path: Path) -> Iterator[Stack]:
    """An engine whose load rises past what it can sustain, then falls."""
    yield from _stack(tmp_path, "ramp")


@pytest.fixture
def steady(tmp_path: Path) -> Iterator[Stack]:
    """An engine at three quarters of what it can sustain: any trend that a restart makes up would page."""
    yield from _stack(tmp_path, "steady")


@pytest.fixture
def overload(tmp_path: Path) -> Iterator[Stack]:
    """An engine that gets a fifth more than it can sustain."""
    yield from _stack(tmp_path, "overload")


def test_a_ramp_pages_and_recovery_resolves(ramp: Stack) -> None:
    """From the engine's counters to the webhook, by the rules and routes that ship."""
    until(lambda: bool(ramp.webhook.alerts("firing")), "a page", 120)
    page = ramp.webhook.alerts("firing")[0]
    assert page["labels"]["alertname"] == "KvwatchSaturationApproaching"
    assert page["labels"]["severity"] == "critical"
    assert page["labels"]["model_name"] == "llama"
    words = page["annotations"]["description"]
    assert re.search(
        r"ρ is [\d.]+ over 5 minutes and [\d.]+ over the last one, against a limit of [\d.]+: λ [\d.]+ requests/s, "
        r"μ [\d.]+ requests/s, bound by (kv|seqs|tokens)",
        words,
    )
    assert re.search(r"Time to saturation: [\dhms ]+\. Replicas: 1, to add: [1-9]", words)
    assert page["annotations"]["runbook_url"].endswith("/KvwatchSaturationApproaching.md")
    assert page["annotations"]["dashboard_url"] == "/d/kvwatch-fleet?var-model_name=llama"
    until(lambda: ramp.webhook.notifications[-1]["status"] == "resolved", "the page to be resolved", 150)


def restart(part: Part, seconds: float = 1.0) -> None:
    """Have a part gone for a scrape, or for longer."""
    part.stop()
    time.sleep(seconds)
    part.start()


def test_a_restart_of_any_part_tells_nobody(steady: Stack) -> None:
    """Each in turn, until ρ is known again and its trends could page; an engine that stays away does make a ticket."""
    until(lambda: steady.value("model:kvwatch_utilization:ratio5m") is not None, "ρ", 120)
    for part in steady.parts.values():
        restart(part)
        until(lambda: steady.value(FRESH) is not None, "ρ", 120)
    assert steady.webhook.notifications == []
    assert steady.tickets.notifications == []
    steady.parts["engine"].stop()
    until(lambda: bool(steady.tickets.notifications), "a ticket", 120)
    assert {a["labels"]["alertname"] for a in steady.tickets.alerts("firing")} == {"KvwatchTargetDown"}
    assert steady.webhook.notifications == []


def test_an_overload_is_one_page_whatever_restarts_and_while_nothing_can_be_seen(overload: Stack) -> None:
    """Each part in turn, then the engine for longer than a page outlives its condition: never is it said to be over."""
    page = overload.webhook
    until(lambda: bool(page.alerts("firing")), "a page", 120)
    for name, part in overload.parts.items():
        restart(part)
        until(lambda: overload.value(FULL) is not None and bool(overload.told() & LOAD), f"the page after {name}", 120)
    overload.parts["engine"].stop()
    until(lambda: overload.told() & {*LOAD, BLIND} == {BLIND}, "the page of what cannot be seen", 120)
    until(lambda: BLIND in {a["labels"]["alertname"] for a in page.alerts("firing")}, "its notification")
    overload.parts["engine"].start()
    until(lambda: overload.value(FULL) is not None and bool(overload.told() & LOAD), "the overload again", 120)
    time.sleep(GROUP_SECONDS)
    assert {n["status"] for n in page.notifications} == {"firing"}
    assert len({n["groupKey"] for n in page.notifications}) == 1
