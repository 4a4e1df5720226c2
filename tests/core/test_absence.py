"""What an engine does not show, or does not do, is the reason for a number that is missing; not the traffic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.estimate import Reason
from kvwatch.facts import CacheConfig, EngineSample
from tests.core.synthetic import SyntheticEngine, Watch, poisson, without


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": None},
        {"request_prompt_tokens": None},
        {"request_generation_tokens": None},
        {"kv_usage_ratio": None},
        {
            "steps": None,
            "finished": None,
            "request_prompt_tokens": None,
            "request_generation_tokens": None,
            "prompt_tokens_computed": None,
        },
    ],
    ids="+".join,
)
def test_a_metric_that_was_never_shown_is_the_reason(fields: dict[str, None]) -> None:
    """An old server that is busy throughout is not told that it was never busy, or that too few requests came."""
    view = Watch(SyntheticEngine(poisson(10, 200)), show=without(**fields)).run(200)
    assert view.service_rate.value is None
    assert view.service_rate.verdict is Reason.METRIC_MISSING
    if "steps" in fields:
        assert view.step_seconds.verdict is Reason.METRIC_MISSING
    if "request_prompt_tokens" in fields:
        assert view.request_demand_token_steps.verdict is Reason.METRIC_MISSING
    assert view.engine_state["unknown"] == 1


def test_an_engine_without_work_is_not_missing_anything() -> None:
    """Some exporters show a metric only once it has been counted."""
    bare = EngineSample(SyntheticEngine([]).sample().key, running=0.0, waiting=0.0, generation_tokens=0.0)
    view = Watch(SyntheticEngine([]), show=lambda _: bare).run(90)
    assert view.service_rate.verdict is not Reason.METRIC_MISSING


def embedding(sample: EngineSample) -> EngineSample:
    """A server that pools: prompts, first tokens and requests are counted, nothing is generated."""
    outputs = sample.request_generation_tokens
    assert outputs is not None
    return replace(
        sample,
        generation_tokens=0.0,
        inter_token_count=0.0,
        inter_token_seconds_sum=0.0,
        steps=sample.finished,
        request_generation_tokens=replace(outputs, total=0.0, cumulative=(outputs.count or 0.0,) * len(outputs.edges)),
    )


@pytest.mark.parametrize(
    "gauges",
    [{}, {"running": 0.0, "kv_usage_ratio": 0.0}, {"cache": CacheConfig()}],
    ids=["gauges", "gauges 0 at each scrape", "no cache"],
)
def test_an_engine_that_generates_nothing_is_outside_what_kvwatch_covers(gauges: dict[str, object]) -> None:
    """Pooling and embeddings: arrivals are known, and nothing else is promised for when more traffic has come."""
    watch = Watch(SyntheticEngine(poisson(10, 200)))
    watch.show = lambda sample: replace(embedding(sample), **gauges)  # type: ignore[arg-type]
    view = watch.run(200)
    assert view.arrival_rate.value
    for answer in (view.service_rate, view.utilization, view.request_demand_token_steps):
        assert answer.verdict is Reason.GENERATES_NOTHING
    assert view.engine_state["unknown"] == 1


def test_a_prefill_server_is_covered() -> None:
    """It makes one token of each request."""
    asks = poisson(10, 200, lengths=lambda rng: (int(rng.integers(100, 400)), 1))
    view = Watch(SyntheticEngine(asks)).run(200)
    assert view.service_rate.verdict is not Reason.GENERATES_NOTHING
