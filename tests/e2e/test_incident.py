"""A ramp pages a webhook in time and in words; recovery resolves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, stack, until

pytestmark = pytest.mark.prometheus


@pytest.fixture
def ramp(tmp_path: Path) -> Iterator[Stack]:
    """An engine whose load rises past what it can sustain, then falls."""
    with stack(tmp_path, "ramp") as parts:
        yield parts


def test_a_ramp_pages_and_recovery_resolves(ramp: Stack) -> None:
    """From the engine's counters to the webhook, by the rules and routes that ship."""
    until(lambda: bool(ramp.webhook.alerts("firing")), "a page")
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
