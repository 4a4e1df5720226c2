"""An engine that shows itself as SGLang does: what its metrics can tell is told, and with what doubt.

The engine is the embedded one, whose scheduler is vLLM's: this tests what the names and their timing do to the
estimates, not how SGLang schedules.
"""

from __future__ import annotations

import random
from functools import cache

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.counters import Counters
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.histogram import BucketCounts
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Pool, Segment, arrivals
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import EngineView
from tests.core.runs import make_due_runs

EPOCH = 1_800_000_000.0
KV_TOKENS, SEATS, BUDGET, CONTEXT = 8192, 40, 512, 2048
OFFERED = 3.0
"""Requests/s, about half of what the engine serves."""
FRONT = 'engine_type="unified",model_name="m"'
SCHEDULER = FRONT + ',moe_ep_rank="0",pp_rank="0",tp_rank="0"'
Gauges = tuple[float, float, float]


def _engine(offered: float, seconds: float) -> Engine:
    settings = SchedulerSettings.from_capacity(
        KV_TOKENS, block_size_tokens=1, max_num_seqs=SEATS, max_num_batched_tokens=BUDGET, max_model_len=CONTEXT
    )
    source = random.Random(7)
    pool = [RequestShape(source.randint(20, 200), source.randint(20, 200)) for _ in range(400)]
    stream = arrivals([Segment(seconds, offered, offered)], Pool(pool), seed=5)
    return Engine(settings, StepClock(StepLaw(0.015, 0.0004, 0.0002, 1e-7)), stream)


def _histogram(name: str, counts: BucketCounts, labels: str) -> list[str]:
    counted = list(zip(counts.edges, counts.cumulative(), strict=True))
    lines = [f'sglang:{name}_bucket{{{labels},le="{edge}"}} {count}' for edge, count in counted]
    return [
        *lines,
        f"sglang:{name}_count{{{labels}}} {_number(counts)}",
        f"sglang:{name}_sum{{{labels}}} {counts.total}",
    ]


def _number(counts: BucketCounts) -> int:
    return sum(counts.counts)


def _page(counts: Counters, gauges: Gauges) -> bytes:
    """What SGLang shows: gauges as they were at its last writing, counters as they are."""
    running, waiting, usage = gauges
    decoded = counts.generation_tokens - _number(counts.time_to_first_token)
    numbers = {
        "num_running_reqs": (SCHEDULER, running),
        "num_queue_reqs": (SCHEDULER, waiting),
        "token_usage": (SCHEDULER, usage),
        "max_total_num_tokens": (SCHEDULER, KV_TOKENS),
        "page_size": (SCHEDULER, 1),
        "num_requests_total": (FRONT + ',is_streaming="true"', counts.finished),
        "num_retracted_requests_total": (SCHEDULER, counts.preemptions),
    }
    lines = [f"sglang:{name}{{{labels}}} {value}" for name, (labels, value) in numbers.items()]
    for mode, value in (
        ("prefill_compute", counts.prompt_tokens - counts.prompt_tokens_cached),
        ("prefill_cache", counts.prompt_tokens_cached),
        ("decode", decoded),
    ):
        lines.append(f'sglang:realtime_tokens_total{{{SCHEDULER},mode="{mode}"}} {value}')
    for mode, value in (("decode_cuda_graph", _number(counts.iteration_tokens)), ("prefill_none", counts.finished)):
        lines.append(f'sglang:cuda_graph_passes_total{{{SCHEDULER},mode="{mode}"}} {value}')
    lines += _histogram("prompt_tokens_histogram", counts.request_prompt_tokens, FRONT)
    lines += _histogram("generation_tokens_histogram", counts.request_generation_tokens, FRONT)
    lines += _histogram("inter_token_latency_seconds", counts.inter_token_latency, FRONT)
    lines += _histogram("time_to_first_token_seconds", counts.time_to_first_token, FRONT + ',is_streaming="true"')
    return ("\n".join(lines) + "\n").encode()


@cache
def _watched() -> EngineView:
    """Five minutes at half load, the gauges a second old as those of forty steps ago are."""
    engine, fleet, reader = _engine(OFFERED, 320.0), Fleet(CoreOptions()), ExpositionReader()
    fleet.add("t", Settings(SEATS, BUDGET, CONTEXT, source="config"))
    before: Gauges = (0.0, 0.0, 0.0)
    for second in range(1, 321):
        engine.advance(float(second))
        counts = engine.counters
        fleet.observe("t", reader.read(_page(counts, before), EPOCH + second))
        before = (counts.running, counts.waiting, counts.kv_usage_ratio)
        if second % 60 == 0:
            make_due_runs(fleet, EPOCH + second)
    (view,) = fleet.view(EPOCH + 320).targets[0].engines
    return view


def test_arrivals_and_memory_are_those_of_the_engine() -> None:
    """λ of five minutes within what Poisson arrivals scatter (three standard deviations of 900), M as it is shown."""
    view = _watched()
    assert view.arrival_rate.value["5m"] == pytest.approx(OFFERED, rel=3 / 900**0.5)
    assert view.kv_capacity_tokens.value == pytest.approx(KV_TOKENS, abs=1)


def test_the_service_rate_is_what_an_overload_is_served_at() -> None:
    """Within 15%, as of a vLLM: the same engine, offered four times as much, finishes so many in its last minutes."""
    engine = _engine(4 * OFFERED, 240.0)
    engine.advance(120.0)
    before = engine.counters.finished
    engine.advance(240.0)
    served = (engine.counters.finished - before) / 120.0
    assert _watched().service_rate.value == pytest.approx(served, rel=0.15)


def test_the_doubt_is_named_and_does_not_page() -> None:
    """SGLang's scheduler is another than the model's, so that the numbers size a fleet and wake nobody."""
    view = _watched()
    assert view.service_rate.verdict is not None
    assert view.service_rate.verdict.value == "other_scheduler"
    assert view.service_rate.verdict.sizes
    assert not view.service_rate.verdict.pages
    assert view.arrival_rate.verdict is None or view.arrival_rate.verdict.valid
