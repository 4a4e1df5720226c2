"""From an export to the core: each request once, with a time that can be, for the right target."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from kvwatch.facts import RequestRecord
from kvwatch.parse.otlp.spans import AttributeKeys
from kvwatch.shell.otlp.ingest import MAX_AGE_SECONDS, Outcome, Sender, TraceIntake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.parse.otlp.exports import END, START, export, span
from tests.shell.otlp.receiving import NOW, Taken

SECOND = 10**9


class Intake:
    """A real intake with a clock to turn."""

    def __init__(self, *targets: str, sink: Any = None, **keys: str) -> None:
        self.now = NOW
        self.taken = Taken()
        self.metrics = SelfMetrics()
        self.real = TraceIntake(
            sink or self.taken,
            self.metrics,
            keys=AttributeKeys(**keys),  # type: ignore[arg-type]
            max_spans_per_second=1e6,
            clock=lambda: self.now,
        )
        self.real.targets.follow({name: name for name in targets or ("vllm",)})

    async def take(self, *spans: Any, sender: Sender | None = None, resource: Any = None) -> Outcome:
        """Take an export of these spans."""
        body = export(*spans, resource=resource).SerializeToString()
        return await self.real.take(body, sender or Sender("10.0.0.9"))

    def results(self) -> dict[str, float]:
        """Spans by result."""
        return {labels[0]: value for labels, value in self.metrics.samples()["kvwatch_spans_total"] if value}


async def test_a_span_that_comes_again_counts_once() -> None:
    """In the same export, in the next, and beside new ones; it is no fault of the sender's."""
    it = Intake()
    assert await it.take(span(1), span(2), span(1)) == Outcome()
    assert await it.take(span(2), span(3)) == Outcome()
    assert len(it.taken.requests) == 3
    assert it.results() == {"request": 3, "duplicate": 2}


async def test_the_same_request_in_two_encodings_is_one() -> None:
    """The id is what counts."""
    it = Intake()
    await it.take(span(1, {"gen_ai.request.id": "a"}))
    await it.take(span(1, {"gen_ai.request.id": "b"}))
    assert it.results() == {"request": 1, "duplicate": 1}


async def test_one_trace_may_have_many_requests() -> None:
    """A client's trace holds a span for each of its requests."""
    it = Intake()
    trace = bytes(range(16))
    await it.take(*(span(number, trace_id=trace) for number in range(1, 6)))
    assert it.results() == {"request": 5}


async def test_a_span_from_the_future_is_moved_back_whole() -> None:
    """Its duration and lengths stay; it ends when it came."""
    it = Intake()
    ahead = 7 * SECOND
    await it.take(span(1, start_time_unix_nano=START + ahead, end_time_unix_nano=END + ahead))
    ((_, record),) = it.taken.requests
    assert record.finish == NOW
    assert record.finish - record.arrival == pytest.approx(3.25, abs=1e-6)
    assert (record.prompt_tokens, record.completion_tokens) == (12, 34)


async def test_even_the_end_of_time_is_moved_back() -> None:
    """The greatest stamp that the format has."""
    it = Intake()
    await it.take(span(1, end_time_unix_nano=2**64 - 1))
    ((_, record),) = it.taken.requests
    assert record.finish == NOW
    assert record.arrival <= NOW


async def test_late_spans_keep_their_time_until_they_are_too_old() -> None:
    """Up to an hour they are handed on as they are, beyond it counted and no more."""
    it = Intake()
    end = END / SECOND
    it.now = end + MAX_AGE_SECONDS
    assert await it.take(span(1)) == Outcome()
    it.now += 1.0
    assert await it.take(span(2)) == Outcome()
    assert it.results() == {"request": 1, "late": 1}
    assert it.taken.requests[0][1].finish == end


async def test_a_span_of_nobody_s_is_said_to_be_that(caplog: pytest.LogCaptureFixture) -> None:
    """Two targets and no hint: rejected with advice, logged once, and not remembered, so that it counts later."""
    it = Intake("eu", "us")
    with caplog.at_level(logging.WARNING):
        outcomes = [await it.take(span(1), span(2)) for _ in range(3)]
    assert outcomes[0].rejected == 2
    assert "traces.target_attribute" in outcomes[0].message
    assert [record.getMessage() for record in caplog.records] == ["spans_not_taken"]
    await it.take(span(1), sender=Sender(target="eu"))
    assert it.results() == {"unassigned": 6, "request": 1}


async def test_the_attribute_tells_targets_apart_in_one_export() -> None:
    """Each resource for itself, as a collector sends them."""
    it = Intake("eu", "us", target="service.name")
    request = export(span(1), resource={"service.name": "eu"})
    for number, name in enumerate(("us", "nobody", None), 2):
        more = export(span(number), resource={"service.name": name} if name else None)
        request.resource_spans.extend(more.resource_spans)
    outcome = await it.real.take(request.SerializeToString(), Sender("10.0.0.9"))
    assert [target for target, _ in it.taken.requests] == ["eu", "us"]
    assert outcome.rejected == 2


async def test_a_large_export_is_read_beside_the_event_loop() -> None:
    """Other tasks run while ten thousand spans are read and handed on, and every span arrives in order."""
    it = Intake()
    body = export(*(span(number) for number in range(1, 10_001))).SerializeToString()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await it.real.take(body, Sender())
    counting.cancel()
    assert turns > 2
    assert it.results() == {"request": 10_000}


async def test_a_slow_core_does_not_hold_the_event_loop() -> None:
    """Requests are handed on in slices: between two turns of the loop there are no more than fit into one."""
    most = since = 0

    class Slow(Taken):
        def observe(self, target: str, fact: RequestRecord) -> None:
            """Take two milliseconds of the loop's time by the loop's own clock."""
            nonlocal most, since
            since += 1
            most = max(most, since)
            until = asyncio.get_running_loop().time() + 0.002
            while asyncio.get_running_loop().time() < until:
                pass
            super().observe(target, fact)

    async def turn() -> None:
        nonlocal since
        while True:
            since = 0
            await asyncio.sleep(0)

    it = Intake(sink=(sink := Slow()))
    turning = asyncio.create_task(turn())
    await it.take(*(span(number) for number in range(1, 51)))
    turning.cancel()
    assert len(sink.requests) == 50
    assert most <= 5  # five milliseconds a slice, and whatever one request takes beyond


async def test_damage_is_reported_and_charged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the export counts, and the first case is logged without its content."""
    it = Intake()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            outcome = await it.real.take(b"\x0a\x80secret", Sender("10.0.0.9"))
    assert outcome.damaged
    assert it.results() == {}
    (record,) = caplog.records
    assert record.fields["reason"] == "not_protobuf"  # type: ignore[attr-defined]
    assert "secret" not in str(record.__dict__)
