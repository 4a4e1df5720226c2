"""The event-skipping scheduler is the plain loop, and keeps what any scheduler must keep."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.embedded.request import Request
from kvwatch.embedded.scheduler import Scheduler
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from tests.embedded.plain_scheduler import PlainScheduler

shapes = st.builds(
    lambda unique, output, shared, prefix_id: RequestShape(unique + shared, output, shared, prefix_id),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0, 0, 3, 8, 20]),
    st.integers(0, 1),
)


@st.composite
def engines(draw: st.DrawFn) -> SchedulerSettings:
    """Small engines that run out of everything."""
    block_size = draw(st.sampled_from([1, 2, 4, 8]))
    seats = draw(st.integers(1, 12))
    return SchedulerSettings(
        num_blocks=1 + draw(st.integers(-(-62 // block_size), 200 // block_size)),
        block_size_tokens=block_size,
        max_num_seqs=seats,
        max_num_batched_tokens=draw(st.integers(seats, 64)),
        max_model_len=10_000,
        enable_prefix_caching=draw(st.booleans()),
        watermark_ratio=draw(st.sampled_from([0.0, 0.0, 0.1])),
        reserve_full_sequence=draw(st.sampled_from([True, True, False])),
    )


arrivals = st.lists(st.tuples(st.integers(0, 60), shapes, st.sampled_from([None, None, None, 3, 20])), max_size=40)


def identities(requests: list[Request]) -> list[int]:
    """Names, to compare with the oracle's."""
    return [request.identity for request in requests]


@settings(max_examples=300, deadline=None)
@given(engines(), arrivals)
def test_skipping_gives_the_same_steps_as_the_plain_loop(
    configured: SchedulerSettings, arriving: list[tuple[int, RequestShape, int | None]]
) -> None:
    """Composition, evictions, admissions, finishes and blocks agree in every step, aborts included."""
    fast, plain = Scheduler(configured), PlainScheduler(configured)
    by_identity: dict[int, Request] = {}
    live: set[int] = set()
    aborts: dict[int, list[int]] = {}
    for number in range(2000):
        for identity, (at, shape, abort_after) in enumerate(arriving):
            if at == number and shape.prompt_tokens < configured.kv_capacity_tokens:
                request = Request(shape, configured.block_size_tokens, identity=identity)
                by_identity[identity] = request
                live.add(identity)
                fast.add(request)
                plain.add(identity, shape)
                if abort_after is not None:
                    aborts.setdefault(number + abort_after, []).append(identity)
        for identity in aborts.pop(number, []):
            fast.abort([by_identity[identity]])
            plain.abort({identity})
            live.discard(identity)
        if number > 60 and not live:
            break
        fast.step()
        expected = plain.step()
        assert identities(fast.preempted) == expected.preempted
        assert identities(fast.admitted) == expected.admitted
        assert identities(fast.finished) == expected.finished
        assert identities(list(fast.running)) == [r.identity for r in plain.running]
        assert identities(list(fast.waiting)) == [r.identity for r in plain.waiting]
        assert (fast.decoding, fast.prefill_tokens) == (expected.decoding, expected.prefill_tokens)
        assert (fast.recomputed_tokens, fast.context_requests) == (
            expected.recomputed_tokens,
            expected.context_requests,
        )
        assert fast.resident_blocks == expected.resident_blocks
        assert fast.blocks.free == len(plain.free)
        live.difference_update(expected.finished)
        for request in fast.finished:
            assert request.generated_tokens == request.output_tokens
    if not configured.watermark_ratio:
        assert not live, "every request that is not aborted finishes"


def test_a_request_that_could_never_run_is_refused() -> None:
    """Such a request would block all behind it for ever."""
    scheduler = Scheduler(SchedulerSettings(num_blocks=5, block_size_tokens=16, max_model_len=100))
    with pytest.raises(ValueError, match="no room for output"):
        scheduler.add(Request(RequestShape(64, 1), 16))
