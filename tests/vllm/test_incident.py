"""A real vLLM driven past what it can serve pages a webhook, and is resolved once the load is gone.

Real all the way: vLLM on this CPU, kvwatch, Prometheus, Alertmanager. Only time is short: the windows of kvwatch and
every duration of the rules are divided by the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, Watched, fetch, need_prometheus, until
from tests.vllm.conftest import SHARED
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.server import VllmServer

pytestmark = pytest.mark.vllm

SPEED = 12.0
"""Five minutes of the rules take 25 s here."""
POOL = uniform_pool(8, 64, size=64, seed=11)
LIGHT = 1.5
RISE = (LIGHT, 3.0, 5.0, 7.0, 9.0, 12.0, 16.0, 20.0, 25.0)
"""Requests/s, from far below to far above what two cores can serve, whichever they are."""
WARM_SECONDS, STEP_SECONDS = 40.0, 6.0


@dataclass
class Story:
    """What the webhook got, and what was seen meanwhile."""

    page: dict[str, Any] = field(default_factory=dict)
    before: list[dict[str, Any]] = field(default_factory=list)
    runbook: Any = None
    notifications: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(shared_server: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, told once; about four minutes."""
    need_prometheus()
    return asyncio.run(tell(shared_server, tmp_path_factory.mktemp("incident")))


async def tell(server: VllmServer, folder: Path) -> Story:
    """Light load, a rise past the limit until the page is there, light load until it is resolved."""
    story = Story()
    stack = Stack(folder, Watched(server.url, SHARED.seats, SHARED.budget_tokens), SPEED)
    try:
        await asyncio.to_thread(server.ensure_started)
        await asyncio.to_thread(stack.start)
        async with loaded(server, 1, (LIGHT, WARM_SECONDS)) as load:
            await load
        story.before = list(stack.webhook.notifications)
        rise = [(rate, STEP_SECONDS) for rate in RISE] + [(RISE[-1], 60.0)]
        async with loaded(server, 2, *rise):
            await asyncio.to_thread(until, lambda: bool(stack.webhook.alerts("firing")), "a page", 100)
        story.page = stack.webhook.alerts("firing")[0]
        path = story.page["annotations"]["runbook_url"].partition(":9718")[2]
        story.runbook = await asyncio.to_thread(fetch, f"http://127.0.0.1:{stack.ports['kvwatch']}{path}")
        async with loaded(server, 3, (LIGHT, 150.0)):
            await asyncio.to_thread(
                until, lambda: stack.webhook.notifications[-1]["status"] == "resolved", "the page to be resolved", 140
            )
        story.notifications = list(stack.webhook.notifications)
    finally:
        stack.stop()
    return story


@contextlib.asynccontextmanager
async def loaded(server: VllmServer, seed: int, *phases: tuple[float, float]) -> Any:
    """Offer the phases while the body runs; what is unanswered at its end is dropped."""
    load = PoissonLoad(server.url, SHARED.name, dealt_lengths(POOL, seed), Ledger(), seed)
    task = asyncio.create_task(load.run(*phases))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_nobody_is_paged_before_the_load_rises(story: Story) -> None:
    """Starting up and a light load are no incident."""
    assert story.before == []


def test_the_page_is_about_the_model_and_its_load(story: Story) -> None:
    """One of the three stages of an overload, critical, for the model that vLLM serves."""
    labels = story.page["labels"]
    assert labels["alertname"] in {"KvwatchSaturationApproaching", "KvwatchSaturated", "KvwatchOverloaded"}
    assert (labels["severity"], labels["model_name"]) == ("critical", SHARED.name)


def test_the_page_says_the_numbers(story: Story) -> None:
    """What arrives and can be served, the load and its limit, what binds, and what to do about replicas."""
    words = story.page["annotations"]["description"]
    assert re.search(
        r"[\d.]+ requests/s arrive and [\d.]+ can be served, "
        r"a load of \d+% with the limit at \d+%; what binds: seats\.",
        words,
    )
    assert re.search(
        r"To do: (add ([1-9]\d* )?replicas?|start one more replica \(.*\))\. .*Replicas that serve: 1\.", words
    )


def test_the_runbook_that_the_page_names_is_served(story: Story) -> None:
    """By the kvwatch that watches."""
    assert story.runbook is not None
    assert story.runbook.startswith(f"# {story.page['labels']['alertname']}\n".encode())


def test_it_is_one_incident_and_it_ends(story: Story) -> None:
    """All that the webhook was sent is of one group, and the last of it says that it is over."""
    assert {n["groupKey"] for n in story.notifications} == {story.notifications[0]["groupKey"]}
    assert story.notifications[-1]["status"] == "resolved"
