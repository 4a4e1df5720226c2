"""A recorded incident of a real vLLM: each step of it is told within seconds, in words and numbers of that moment.

The recording is `incident`: a load that a server bears, then three times as much for three minutes, then silence while
what waits is worked off. Times below are those of the recording.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.stack import ROOT, Played, Stack, stack, until

pytestmark = pytest.mark.prometheus
PLAYED = Played(ROOT / "tests" / "data" / "recordings" / "incident", 760.0)
"""Until all is worked off; later the recording has a load of another kind."""
TIMES_AS_FAST = 15.0
TOLD_SECONDS = 30.0
"""Longest time between the firing of an alert and the notification of it."""
RESENT_SECONDS = 90.0
"""Age of the words of an alert that fires on: Prometheus repeats it each minute, here a little less often."""
LOAD = re.compile(r"a load of (\d+)% with the limit")


@dataclass
class Story:
    """What was told, and the loads that Prometheus knew, by unix time."""

    notifications: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    loads: list[tuple[float, float]] = field(default_factory=list)

    def known(self, at: float, seconds: float) -> set[int]:
        """Loads in percent that were so in the recorded seconds before a time."""
        return {round(100 * load) for t, load in self.loads if at - seconds / TIMES_AS_FAST <= t <= at + 1}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Play it until the page is over."""
    story = Story()
    with stack(tmp_path_factory.mktemp("incident"), PLAYED, TIMES_AS_FAST) as parts:
        _play(parts, story)
        yield story


def _play(parts: Stack, story: Story) -> None:
    page = parts.webhook

    def over() -> bool:
        load = parts.value('kvwatch_utilization{window="1m"}')
        if load is not None:
            story.loads.append((time.time(), load))
        return bool(page.alerts("resolved")) and page.notifications[-1]["status"] == "resolved"

    until(over, "the page and its end")
    story.notifications = list(zip(page.times, page.notifications, strict=True))


def firsts(story: Story) -> dict[str, tuple[float, dict[str, Any]]]:
    """When each alert was first told to fire, and how."""
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for at, notification in story.notifications:
        for alert in notification["alerts"]:
            if alert["status"] == "firing":
                found.setdefault(alert["labels"]["alertname"], (at, alert))
    return found


def test_the_overload_is_told_within_half_a_minute(told: Story) -> None:
    """And so is every step before it that fired before it: no group waits for minutes."""
    found = firsts(told)
    assert "KvwatchOverloaded" in found
    for name, (at, alert) in found.items():
        fired = datetime.fromisoformat(alert["startsAt"]).timestamp()
        assert TIMES_AS_FAST * (at - fired) <= TOLD_SECONDS, name


def test_what_is_told_is_of_that_minute(told: Story) -> None:
    """The load in the words is one that was known just before; of an alert that begins, in the half minute before."""
    seen: set[str] = set()
    for at, notification in told.notifications:
        for alert in (a for a in notification["alerts"] if a["status"] == "firing"):
            name, words = alert["labels"]["alertname"], alert["annotations"]["description"]
            load = LOAD.search(words)
            assert load is not None, words
            seconds = RESENT_SECONDS if name in seen else TOLD_SECONDS
            seen.add(name)
            assert int(load[1]) in told.known(at, seconds + 15), words


def test_the_words_are_those_of_the_state(told: Story) -> None:
    """A server that is full is not said to be full some day, and one that has eased is not said to be overloaded."""
    for _, notification in told.notifications:
        for alert in (a for a in notification["alerts"] if a["status"] == "firing"):
            words, load = alert["annotations"]["description"], LOAD.search(alert["annotations"]["description"])
            assert load is not None
            if int(load[1]) < 50:
                assert words.startswith("Users are served better again")
                assert "Nothing is to be done" in words
            else:
                assert re.search(r"To do: (add \d+ replicas?|set --max-num-seqs \d+)", words)
                assert "will wait in about" not in words


def test_it_is_one_incident(told: Story) -> None:
    """All is of one group, and the last word is that it is over."""
    assert {n["groupKey"] for _, n in told.notifications} == {told.notifications[0][1]["groupKey"]}
