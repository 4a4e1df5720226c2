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
    assert re.match(r"Users notice nothing yet, and will wait in about \d+ min, when llama is full\. To do: \w", words)
    assert re.search(
        r"At \d\d:\d\d UTC, over the last minute: [\d.]+ requests/s arrive and [\d.]+ can be served, "
        r"a load of \d+% with the limit at \d+%; what binds: (KV memory|seats|token budget)\. "
        r"\d+ requests wait.*\. Replicas that serve: 1\.",
        words,
    )
    assert page["annotations"]["runbook_url"].endswith("/KvwatchSaturationApproaching.md")
    assert page["annotations"]["dashboard_url"] == "/d/kvwatch-fleet?var-model_name=llama"
    until(lambda: ramp.webhook.notifications[-1]["status"] == "resolved", "the page to be resolved", 150)
