"""Each metric that is read, one by one, in the middle of a ramp: no wrong number is shown whatever becomes of it.

An embedded engine is ramped into overload. Its page reaches kvwatch as it is, but for one family, which for a while is
gone, is no number, or is as it was. λ, μ and ρ must then be right, or not there, and so must they be afterwards, when
what happened meanwhile comes at a stroke; the truth is what was sent, and what the engine served when it was kept full.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.estimate import Reason
from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.exposition.vllm import VLLM
from kvwatch.views import EngineView
from tests.core.runs import make_due_runs

START = 1_800_000_000.0
STEP_SECONDS = 2.0
FAULT_AT, FAULT_ENDS, END = 170, 264, 320
"""The load then is 0.98, has just come to 1.3, and has been there for a minute [s]."""
FROZEN_INTERVALS = 5
"""After so many at most nothing is shown: two in which others move, and three [intervals]."""
WINDOWS = {"1m": 60.0, "5m": 300.0}
OFF = 0.2
"""How far λ, μ and ρ may be off [1]. Measured: 0.14 without a fault, where the load crosses 1."""
TARGET = "host:8000"
RAMP = SCENARIOS["ramp"]


@cache
def service_rate() -> float:
    """What the engine serves when it is kept full [requests/s]."""
    return RAMP.capacity(3).throughput_rps


@cache
def arrivals() -> tuple[float, ...]:
    """When requests were sent [s]."""
    sent = RAMP.traffic(service_rate(), seed=3, start=START)
    return tuple(a.at - START for a in takewhile(lambda a: a.at < START + END, sent))


def arrival_rate(at: float, seconds: float) -> float:
    """Requests sent in the last ``seconds`` [requests/s]."""
    return (bisect(arrivals(), at) - bisect(arrivals(), at - seconds)) / seconds


@cache
def pages() -> tuple[str, ...]:
    """What the engine shows."""
    engine, found = RAMP.engine(seed=3, start=START), []
    for number in range(int(END / STEP_SECONDS) + 1):
        engine.advance(START + STEP_SECONDS * number)
        found.append(render(engine, model_name="acme/chat-8b"))
    return tuple(found)


def read(fleet: Fleet, reader: ExpositionReader, at: float, page: str) -> None:
    """One scrape, and what is due after it."""
    reader.feed(page.encode())
    fleet.observe(TARGET, reader.finish(START + at))
    make_due_runs(fleet, START + at)


@cache
def until_the_fault() -> tuple[Fleet, ExpositionReader]:
    """What all cases begin with."""
    fleet, reader = Fleet(CoreOptions(WINDOWS, scrape_interval_seconds=STEP_SECONDS)), ExpositionReader()
    fleet.add(TARGET, Settings(256, 2048, 4096, SettingSource.CONFIG))
    for number in range(int(FAULT_AT / STEP_SECONDS)):
        read(fleet, reader, number * STEP_SECONDS, pages()[number])
        fleet.view(START + number * STEP_SECONDS)
    return fleet, reader


Change = Callable[[str, str], str]
"""From a page, and the last one before the fault, to the page that is read."""


def lines(family: str) -> re.Pattern[str]:
    """The lines of a family: what comes before the number, and the number."""
    return re.compile(rf"(?m)^((?:{family})(?:_bucket|_sum|_count)?(?:\{{[^}}]*\}})?) (\S+)\n")


def gone(family: str) -> Change:
    """A page without it."""
    return lambda page, _: lines(family).sub("", page)


def at_value(value: str) -> Callable[[str], Change]:
    """A page with all its numbers at one value."""
    return lambda family: lambda page, _: lines(family).sub(rf"\1 {value}\n", page)


def frozen(family: str) -> Change:
    """A page with its numbers of before."""

    def change(page: str, before: str) -> str:
        old = dict(lines(family).findall(before))
        return lines(family).sub(lambda found: f"{found[1]} {old.get(found[1], found[2])}\n", page)

    return change


FAULTS: dict[str, Callable[[str], Change]] = {
    "gone": gone,
    "NaN": at_value("NaN"),
    "begun again at 0": at_value("0"),
    "frozen": frozen,
}
"""What is infinite, negative or absurd is read as NaN is, which tests/faults/test_scrapes.py shows."""
_NAMES = {VLLM.stems[0] + re.sub(r"_(sum|count)$", "", sample.name) for row in VLLM.rows for sample in row.samples}
FAMILIES = sorted(
    {name for name in _NAMES if lines(name).search(pages()[-1])}
    | {VLLM.stems[0] + name for name in (*VLLM.histograms.values(), VLLM.cache_config or "")}
)
"""All that the table of vLLM's names reads and an engine of today shows."""
GAUGES = (
    "vllm:num_requests_running|vllm:num_requests_waiting|vllm:num_requests_waiting_by_reason|vllm:kv_cache_usage_perc"
)
"""What the scheduler's report holds, which stops as a whole."""


def wrong(at: float, view: EngineView) -> Iterator[str]:
    """Each number of a view that is not the truth."""
    mu = service_rate()
    shown = [("μ", view.service_rate.value, mu)]
    for window, seconds in WINDOWS.items():
        truth = arrival_rate(at, seconds)
        shown.append((f"λ over {window}", view.arrival_rate.value.get(window), truth))
        shown.append((f"ρ over {window}", view.utilization.value.get(window), truth / mu))
    for name, value, truth in shown:
        if value is not None and abs(value / truth - 1) > OFF:
            yield f"{name} {value:.2f} for {truth:.2f} after {at:.0f} s"


def after(change: Change) -> Iterator[tuple[float, EngineView]]:
    """The views from when the fault must be noticed on, each ten seconds, and each scrape just after it."""
    fleet, reader = copy.deepcopy(until_the_fault())
    first = int(FAULT_AT / STEP_SECONDS)
    for number in range(first, len(pages())):
        at = number * STEP_SECONDS
        page = pages()[number]
        read(fleet, reader, at, change(page, pages()[first - 1]) if at < FAULT_ENDS else page)
        if number > first + FROZEN_INTERVALS and (not number % 5 or 0 <= at - FAULT_ENDS < 6):
            (view,) = fleet.view(START + at).targets[0].engines
            yield at, view


def test_the_truth_is_seen_without_a_fault() -> None:
    """All five numbers are there at the end, none is ever off, and the load is seen to be beyond 1."""
    views = list(after(lambda page, _: page))
    assert not [words for at, view in views for words in wrong(at, view)]
    _, last = views[-1]
    assert last.utilization.value["1m"] > 1.1
    assert last.utilization.verdict is Reason.OK


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_wrong_number_is_shown_whatever_becomes_of_a_metric(family: str, fault: str) -> None:
    """Right or absent, from the moment at which it must be noticed until the end."""
    change = FAULTS[fault](family)
    found = [words for at, view in after(change) for words in wrong(at, view)]
    assert not found, found


def test_gauges_that_are_frozen_together_are_noticed() -> None:
    """The queue grows unseen behind them: λ and ρ go, with the reason."""
    for at, view in after(frozen(GAUGES)):
        assert not list(wrong(at, view))
        if at >= FAULT_ENDS:
            continue
        assert not view.arrival_rate.value
        assert view.arrival_rate.verdict is Reason.METRIC_MISSING
