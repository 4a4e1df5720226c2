"""Speculative decoding: the same engine, told in steps of several tokens."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kvwatch.core.cause import Cause
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.reader import SampleReader
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import render
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Pool, Segment, arrivals
from kvwatch.facts import EngineKey, EngineSample, Histogram, Scrape, Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import EngineView
from tests.core.runs import make_due_runs

_TOKENS_A_STEP = 4
_EPOCH = 1_800_000_000.0


def _speculating(sample: EngineSample) -> EngineSample:
    """What an engine shows that makes four tokens where this one makes one: only latencies still count steps."""

    def times(value: float | None) -> float | None:
        return None if value is None else value * _TOKENS_A_STEP

    def stretched(h: Histogram | None) -> Histogram | None:
        return None if h is None else replace(h, edges=tuple(e * _TOKENS_A_STEP for e in h.edges), total=times(h.total))

    cache = sample.cache
    assert cache.block_size_tokens is not None and cache.kv_cache_size_tokens is not None
    return replace(
        sample,
        prompt_tokens=times(sample.prompt_tokens),
        prompt_tokens_computed=times(sample.prompt_tokens_computed),
        generation_tokens=times(sample.generation_tokens),
        step_tokens=times(sample.step_tokens),
        request_prompt_tokens=stretched(sample.request_prompt_tokens),
        request_generation_tokens=stretched(sample.request_generation_tokens),
        spec_decode_drafts=sample.steps or 1.0,
        cache=replace(
            cache,
            block_size_tokens=cache.block_size_tokens * _TOKENS_A_STEP,
            kv_cache_size_tokens=cache.kv_cache_size_tokens * _TOKENS_A_STEP,
        ),
    )


def _watch(*, speculating: bool, load_rps: float) -> EngineView:
    """Minutes of one engine, shown as it is or as one that speculates."""
    settings = SchedulerSettings.from_capacity(
        8192, block_size_tokens=16, max_num_seqs=256, max_num_batched_tokens=512, max_model_len=2048
    )
    source = random.Random(7)
    pool = [RequestShape(source.randint(20, 200), source.randint(20, 200)) for _ in range(400)]
    stream = arrivals([Segment(200.0, load_rps, load_rps)], Pool(pool), seed=5)
    engine = Engine(settings, StepClock(StepLaw(0.015, 0.0004, 0.0002, 1e-7)), stream)
    unit = _TOKENS_A_STEP if speculating else 1
    fleet, reader = Fleet(CoreOptions()), ExpositionReader()
    fleet.add("t", Settings(256, 512 * unit, 2048 * unit, source="config"))
    for second in range(1, 301):
        engine.advance(float(second))
        text = render(engine, model_name="m", engine_label="0", unix_offset=_EPOCH)
        scrape = reader.read(text.encode(), _EPOCH + second)
        assert isinstance(scrape, Scrape)
        if speculating:
            scrape = replace(scrape, engines=tuple(_speculating(s) for s in scrape.engines))
        fleet.observe("t", scrape)
        if second % 60 == 0:
            make_due_runs(fleet, _EPOCH + second)
    (view,) = fleet.view(_EPOCH + 200).targets[0].engines
    return view


def test_an_engine_that_makes_four_tokens_a_step_serves_as_many_requests_as_one_of_a_quarter_of_the_lengths() -> None:
    """μ hardly depends on the unit that tokens are counted in; memory-work is told in tokens.

    By 15%, because what a token costs at most and at least is known beforehand, and that is not a unit's.
    """
    plain, speculating = _watch(speculating=False, load_rps=4.0), _watch(speculating=True, load_rps=4.0)
    assert plain.service_rate.value is not None and speculating.service_rate.value is not None
    assert speculating.service_rate.value == pytest.approx(plain.service_rate.value, rel=0.15)
    for method in ("moments", "occupancy"):
        told = speculating.request_demand_token_steps.value[method]
        assert told == pytest.approx(_TOKENS_A_STEP * plain.request_demand_token_steps.value[method], rel=0.03)
    assert not speculating.estimate_valid["service_rate"].valid
    assert speculating.estimate_valid["service_rate"].reason == "speculative_decoding"


def _shown(reader: SampleReader, drafts: float | None, samples: int) -> list[bool]:
    """Feed samples of an engine whose requests make three tokens in each of a hundred outputs a second."""
    changes = []
    for i in range(samples):
        sample = EngineSample(
            EngineKey("m", "0"),
            generation_tokens=300.0 * i,
            inter_token_count=90.0 * i,
            inter_token_seconds_sum=2.0 * i,
            first_token_count=10.0 * i,
            spec_decode_drafts=drafts,
        )
        interval = reader.read(float(i), sample)
        assert interval is not None
        changes.append(interval.cause is Cause.UNIT)
    return changes


def test_the_unit_is_the_tokens_that_a_request_makes_in_a_step_and_one_without_speculation() -> None:
    """It is taken up once enough outputs were seen, and then stays; a server without drafts is left alone."""
    reader = SampleReader()
    assert _shown(reader, 50.0, 8).count(True) == 1
    assert reader.units.unit_tokens == pytest.approx(3.0)
    last = reader.read(9.0, EngineSample(EngineKey("m", "0")))
    assert last is not None and last.whole(48) == 16
    for drafts in (None, 0.0):
        without = SampleReader()
        assert not any(_shown(without, drafts, 8))
        assert without.units.unit_tokens == 1
