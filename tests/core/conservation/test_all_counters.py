"""Counters that are all scaled alike agree with each other; the clock, the gauges and the buckets refute them.

The engine is overloaded: who waits must not hide how many run, nor who is evicted pass for a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from kvwatch.core.conservation.refuted import Refuted
from kvwatch.core.conservation.words import sentences
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS, Stage
from kvwatch.estimate import Reason
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader

START = 1_800_000_000.0
SECONDS = 200
SCRAPE_SECONDS = 2
NOTICED_AFTER = 100
"""Seconds of the engine by which it must be known [s]: forty of them in overload."""
COUNTERS = {"finished", "prompt_tokens", "generation_tokens", "first_token_count", "steps", "inter_token_seconds_sum"}
ENGINES = ("seqcap", "steady", "limit-cycle")
"""Whose seats are short, whose memory, and whose memory in waves of eviction."""


@cache
def pages(scenario: str, load: float) -> tuple[str, ...]:
    """What it shows at each scrape: a minute of half load, then this load."""
    stages = (Stage("const", 60, 0.5, 0.5), Stage("const", 3600, load, load))
    engine = replace(SCENARIOS[scenario], stages=stages).engine(seed=3, start=START)
    found = []
    for second in range(0, SECONDS + 1, SCRAPE_SECONDS):
        engine.advance(START + second)
        found.append(render(engine, model_name="acme/chat-8b"))
    return tuple(found)


def scaled(factor: float, kinds: str = "total|count|sum|bucket") -> Callable[[str], str]:
    """All counters so many times as large, those of histograms too."""
    seen = re.compile(rf"^(vllm:[a-z_]+_(?:{kinds})\{{[^}}]*\}}) (\S+)$", re.MULTILINE)
    return lambda page: seen.sub(lambda found: f"{found[1]} {float(found[2]) * factor!r}", page)


def seconds_unscaled(page: str, factor: float) -> str:
    """The sums of all times as they were, where all counters are scaled."""
    seen = re.compile(r"^(vllm:[a-z_]+_seconds_sum\{[^}]*\}) (\S+)$", re.MULTILINE)
    return seen.sub(lambda found: f"{found[1]} {float(found[2]) / factor!r}", page)


def found(show: Callable[[str], str], scenario: str, load: float) -> Refuted:
    """What is refuted of such an engine at the end."""
    reader, refuted = ExpositionReader(), Refuted()
    for number, page in enumerate(pages(scenario, load)):
        reader.feed(show(page).encode())
        (sample,) = reader.finish(START + SCRAPE_SECONDS * number).engines
        refuted.update(START + SCRAPE_SECONDS * number, sample)
    return refuted


@pytest.mark.parametrize("scenario", ENGINES)
@pytest.mark.parametrize("load", [0.5, 1.4])
@pytest.mark.parametrize("factor", [1 / 3, 1 / 2, 1.0, 2.0, 3.0])
def test_counters_that_are_all_scaled_are_all_left_out(scenario: str, load: float, factor: float) -> None:
    """And none where they are as the server counts them, evictions in waves or not."""
    refuted = found(scaled(factor), scenario, load)
    assert set(refuted.found) == (COUNTERS if factor != 1 else set())
    assert len(list(sentences(refuted.found.values()))) == (factor != 1), "one sentence names them all"


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_counters_without_their_times_are_refuted_by_the_buckets_of_the_latencies(factor: float) -> None:
    """Else they are those of another engine, as fast as it is many."""
    refuted = found(lambda page: seconds_unscaled(scaled(factor)(page), factor), "steady", 1.4)
    assert "inter_token_seconds_sum" in refuted.found


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_no_number_is_computed_from_them_once_they_are_known(factor: float) -> None:
    """Neither μ nor ρ, and no fleet is sized."""
    fleet, reader = Fleet(CoreOptions(scrape_interval_seconds=SCRAPE_SECONDS)), ExpositionReader()
    fleet.add("host:8000", Settings(12, 512, 4096, "config"))
    for number, page in enumerate(pages("seqcap", 1.4)):
        at = SCRAPE_SECONDS * number
        reader.feed(scaled(factor)(page).encode())
        fleet.observe("host:8000", reader.finish(START + at))
        if at < NOTICED_AFTER or at % 10:
            continue
        view = fleet.view(START + at)
        (engine,) = view.targets[0].engines
        assert engine.service_rate.value is None
        assert engine.service_rate.verdict is Reason.METRIC_CONTRADICTED
        assert engine.utilization.value == {}
        assert engine.arrival_rate.value == {}
        assert [model.replicas_required for model in view.models] == [None]
