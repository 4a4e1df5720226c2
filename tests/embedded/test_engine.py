"""The engine in virtual time counts as vLLM counts, whoever looks and whenever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.embedded.engine import Engine, StepRecord
from kvwatch.embedded.exposition import render
from kvwatch.embedded.request import FINISHED
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock, StepTexture
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival

LAW = StepLaw(0.01, 0.001, 0.0001, 0.0)
SMALL = SchedulerSettings(
    num_blocks=13, block_size_tokens=4, max_num_seqs=6, max_num_batched_tokens=16, max_model_len=48
)
CACHED = SchedulerSettings(
    num_blocks=13,
    block_size_tokens=4,
    max_num_seqs=6,
    max_num_batched_tokens=16,
    max_model_len=48,
    enable_prefix_caching=True,
)
TEXTURE = StepTexture(
    curvature_per_sequence=0.01,
    padded_sizes=(1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)),
    noise_ratio=0.2,
    outlier_probability=0.1,
    outlier_seconds=0.5,
    gap_seconds=0.002,
)

streams = st.lists(
    st.tuples(
        st.floats(0, 0.5),
        st.integers(0, 20),
        st.integers(1, 24),
        st.sampled_from([0, 4, 8]),
        st.sampled_from([None, None, None, 0.05, 0.4]),
    ),
    max_size=25,
)


def stream(drawn: list[tuple[float, int, int, int, float | None]]) -> list[Arrival]:
    """Arrivals one after another."""
    at, arrivals = 1.0, []
    for gap, unique, output, shared, patience in drawn:
        at += gap
        shape = RequestShape(max(unique + shared, 1), output, shared)
        arrivals.append(Arrival(at, shape, None if patience is None else at + patience))
    return arrivals


@settings(max_examples=150, deadline=None)
@given(streams, st.sampled_from([SMALL, CACHED]), st.integers(0, 3))
def test_every_request_ends_once_and_every_token_is_counted_once(
    drawn: list[tuple[float, int, int, int, float | None]], configured: SchedulerSettings, seed: int
) -> None:
    """Requests are conserved, and the counters agree with the requests and with each other at all times."""
    arrivals = stream(drawn)
    steps: list[StepRecord] = []
    engine = Engine(configured, StepClock(LAW, TEXTURE, seed=seed), arrivals, start=1.0, on_step=steps.append)
    counters, ended = engine.counters, []
    for number in range(1, 400):
        engine.advance(1.0 + number * 0.1)
        ended += engine.take_ended()
        first_tokens, gaps = counters.time_to_first_token, counters.inter_token_latency
        assert counters.generation_tokens == first_tokens.cumulative()[-1] + gaps.cumulative()[-1]
        assert counters.finished == sum(request.state == FINISHED for request in ended)
    assert len({request.identity for request in ended}) == len(ended) == len(arrivals)
    assert all(
        request.state == FINISHED or arrival.abort_at is not None
        for request, arrival in zip(sorted(ended, key=lambda r: r.identity), arrivals, strict=True)
    )
    assert engine.scheduler.used_blocks == 0
    assert counters.running == counters.waiting == 0
    finished = [request for request in ended if request.state == FINISHED]
    assert counters.request_generation_tokens.total == sum(request.output_tokens for request in finished)
    assert counters.request_prompt_tokens.total == sum(request.prompt_tokens for request in finished)
    assert counters.request_num_preemptions.total == sum(request.preemptions for request in finished)
    assert counters.request_decode_time.total == pytest.approx(
        sum((request.ended or 0) - (request.first_token or 0) for request in finished)
    )
    if len(finished) == len(arrivals):
        assert counters.preemptions == sum(request.preemptions for request in finished)
        assert counters.inter_token_latency.total == pytest.approx(counters.request_decode_time.total)
        assert counters.prompt_tokens == counters.request_prompt_tokens.total
        outputs = counters.prompt_tokens - counters.prompt_tokens_cached + counters.generation_tokens
        assert counters.iteration_tokens.total == outputs
    for step in steps:
        assert step.context_tokens + step.generation_tokens <= configured.max_num_batched_tokens
        assert step.context_requests + step.generation_requests <= configured.max_num_seqs


@settings(max_examples=60, deadline=None)
@given(streams, st.lists(st.floats(0.0, 1.0), max_size=30), st.integers(0, 3))
def test_what_is_seen_does_not_depend_on_who_looks_when(
    drawn: list[tuple[float, int, int, int, float | None]], looks: list[float], seed: int
) -> None:
    """One seed gives one exposition, however the time before it is cut into calls."""
    at_once = Engine(SMALL, StepClock(LAW, TEXTURE, seed=seed), stream(drawn))
    in_pieces = Engine(SMALL, StepClock(LAW, TEXTURE, seed=seed), stream(drawn))
    for pause in looks:
        in_pieces.advance(in_pieces.now + pause)
    end = in_pieces.now + 2.0
    at_once.advance(end)
    in_pieces.advance(end)
    assert render(at_once, model_name="m") == render(in_pieces, model_name="m")


def test_a_preemption_is_counted_with_its_victims_next_token() -> None:
    """Until the victim runs again and has output, only the waiting queue shows that it was evicted."""
    configured = SchedulerSettings(num_blocks=5, block_size_tokens=4, max_num_seqs=2, max_num_batched_tokens=32)
    arrivals = [Arrival(0.0, RequestShape(4, 12)), Arrival(0.0, RequestShape(4, 12))]
    engine = Engine(configured, StepClock(StepLaw(1.0)), arrivals)
    engine.advance(6.5)  # both grow to two blocks of the four, then the first one takes a third
    assert (engine.counters.running, engine.counters.waiting) == (1, 1)
    assert engine.counters.preemptions == 0
    engine.advance(12.5)
    assert engine.counters.finished == 1
    assert engine.counters.preemptions == 0
    engine.advance(13.5)  # its recompute is one prefill step, which gives its next token
    assert engine.counters.preemptions == 1
    longest_gap = 13.0 - 5.0
    assert engine.counters.inter_token_latency.total == pytest.approx(11 + 4 + longest_gap)


def test_a_step_of_unfinished_prefill_leaves_counters_and_histograms_alone() -> None:
    """Such a step moves gauges only; the prompt is credited whole with the first token."""
    configured = SchedulerSettings(num_blocks=20, block_size_tokens=4, max_num_seqs=2, max_num_batched_tokens=16)
    engine = Engine(configured, StepClock(StepLaw(1.0)), [Arrival(0.0, RequestShape(40, 2))])
    engine.advance(2.5)
    assert engine.counters.running == 1
    assert engine.counters.kv_usage_ratio == pytest.approx(8 / 19)
    assert engine.counters.prompt_tokens == 0
    assert engine.counters.iteration_tokens.cumulative()[-1] == 0
    engine.advance(3.5)
    assert engine.counters.prompt_tokens == 40
    assert engine.counters.iteration_tokens.total == 41


def test_a_client_that_leaves_shows_nowhere_but_in_the_tokens_it_got() -> None:
    """Finish counters and histograms miss it; its first token and its tokens were counted; the gauges fall at once."""
    engine = Engine(SMALL, StepClock(StepLaw(1.0)), [Arrival(0.0, RequestShape(4, 20), abort_at=5.5)])
    engine.advance(20.0)
    assert engine.counters.finished == 0
    assert engine.counters.request_prompt_tokens.cumulative()[-1] == 0
    assert engine.counters.time_to_first_token.cumulative()[-1] == 1
    assert engine.counters.generation_tokens == 6
    assert (engine.counters.running, engine.counters.kv_usage_ratio) == (0, 0.0)
    (request,) = engine.take_ended()
    assert (request.output_tokens, request.ended) == (20, 5.5)


def test_a_shared_prefix_is_computed_once_and_held_once() -> None:
    """Two requests behind one prompt: the second computes only its own part, and the blocks count once."""
    configured = SchedulerSettings(
        num_blocks=40, block_size_tokens=4, max_num_batched_tokens=256, enable_prefix_caching=True
    )
    shape = RequestShape(22, 3, shared_prefix_tokens=20)
    engine = Engine(configured, StepClock(StepLaw(1.0)), [Arrival(0.0, shape), Arrival(0.0, shape)])
    engine.advance(1.5)
    assert engine.counters.prefix_cache_queries == 44
    assert engine.counters.prefix_cache_hits == 20
    assert engine.scheduler.used_blocks == 5 + 1 + 1
    engine.advance(10.0)
    assert engine.counters.prompt_tokens == 44
    assert engine.counters.prompt_tokens_cached == 20
    assert engine.counters.kv_usage_ratio == 0.0


def test_a_submitted_request_takes_the_time_its_steps_take() -> None:
    """One prefill step and one step for each further token."""
    engine = Engine(SMALL, StepClock(StepLaw(0.1)))
    engine.advance(5.0)
    request = engine.submit(RequestShape(4, 3))
    engine.advance(5.25)
    assert request.ended is None
    engine.advance(5.31)
    assert request.ended == pytest.approx(5.3)
    with pytest.raises(ValueError, match="no room"):
        engine.submit(RequestShape(48, 1))
    with pytest.raises(ValueError, match="cannot advance"):
        engine.advance(5.0)


def test_the_step_clock_means_what_it_says() -> None:
    """Noise has mean one, padding rounds up, gaps are apart from the step, and one seed gives one sequence."""
    law = StepLaw(0.01, 0.001)
    noisy = StepClock(law, StepTexture(noise_ratio=0.3), seed=4)
    drawn = [noisy.draw(10, 0, 0)[0] for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(0.02, rel=0.01)
    again = StepClock(law, StepTexture(noise_ratio=0.3), seed=4)
    assert [again.draw(10, 0, 0)[0] for _ in range(100)] == drawn[:100]
    padded = StepClock(law, StepTexture(padded_sizes=(1, 2, 4, 8), gap_seconds=0.5))
    assert padded.draw(5, 0, 0) == (pytest.approx(0.018), 0.5)
    assert padded.draw(9, 0, 0)[0] == pytest.approx(0.019)
