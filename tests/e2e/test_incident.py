"""A ramp pages a webhook in time and in words; recovery resolves it; restarts page nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, need_prometheus, until

pytestmark = pytest.mark.prometheus
SPEED = 30.0
"""So that a scrape a second is one every 30 s of the rules, the middle of what they are made for."""


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
    """An engine at half of what it can sustain."""
    yield from _stack(tmp_path, "steady")


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


def test_a_restart_of_any_part_pages_nobody(steady: Stack) -> None:
    """Each in turn, until ρ is known again and its trends could page."""
    until(lambda: steady.value("model:kvwatch_utilization:ratio5m") is not None, "ρ", 120)
    for part in steady.parts.values():
        part.stop()
        time.sleep(1)  # gone for a scrape
        part.start()
        until(lambda: steady.value("timestamp(model:kvwatch_utilization:ratio5m) > time() - 3") is not None, "ρ", 120)
    assert steady.webhook.notifications == []
