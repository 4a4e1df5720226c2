"""One export on its way into the core: decoded off the event loop, sorted by target, counted, handed on in slices."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from kvwatch.parse.otlp.json import read_json
from kvwatch.parse.otlp.protobuf import read_protobuf
from kvwatch.parse.otlp.spans import REASONS, AttributeKeys, Export, SpanRequest
from kvwatch.shell.intake import Intake
from kvwatch.shell.logging import event
from kvwatch.shell.lookups import Lookups
from kvwatch.shell.otlp.limits import BusyError, SeenSpans, SpanRate
from kvwatch.shell.otlp.targets import TargetTable
from kvwatch.shell.selfmetrics import SelfMetrics

MAX_AGE_SECONDS = 3600.0
_INLINE_BYTES = 16 * 1024
"""An export of this size is read in a millisecond; a longer one does not keep the event loop waiting."""
_SLICE_SECONDS = 0.005

_UNASSIGNED = "it is not known which target they are about; export to /v1/traces/NAME or set traces.target_attribute"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent an export: its address, and the target that it named in the path."""

    peer: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sender is told: spans that are refused, and why; ``damaged`` where the whole export is unreadable."""

    rejected: int = 0
    message: str = ""
    damaged: bool = False


class TraceIntake:
    """Takes exports of all senders. ``clock`` gives the wall clock's unix seconds, by which senders stamp."""

    def __init__(  # noqa: PLR0913 - each is one thing that it works with
        self,
        sink: Intake,
        metrics: SelfMetrics,
        *,
        keys: AttributeKeys,
        max_spans_per_second: float,
        clock: Callable[[], float],
        seen: SeenSpans | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        self.targets = TargetTable(lookups)
        self._sink = sink
        self._metrics = metrics
        self._keys = keys
        self._clock = clock
        self._rate = SpanRate(max_spans_per_second)
        self._seen = seen if seen is not None else SeenSpans()
        self._decoder = ThreadPoolExecutor(1, "otlp")
        self._told: set[str] = set()

    def admit(self) -> None:
        """Let an export in, before any of it is read. Raises BusyError while too much has come."""
        wait = self._rate.wait_seconds(self._clock())
        if wait > 0:
            raise BusyError(wait, of_rate=True)

    async def take(self, body: bytes, sender: Sender, *, json: bool = False) -> Outcome:
        """Read an export and hand its requests on."""
        read = read_json if json else read_protobuf
        if len(body) <= _INLINE_BYTES:
            export = read(body, self._keys)
        else:
            loop = asyncio.get_running_loop()
            export = await loop.run_in_executor(self._decoder, read, body, self._keys)
        self._rate.charge(export.cost)
        if export.refused is not None:
            self._tell(export.refused.reason, detail=export.refused.where, sender=sender.peer)
            return Outcome(message=f"{export.refused.reason}: {export.refused.where}", damaged=True)
        counts = await self._hand_on(export.requests, sender)
        counts["ignored"] = export.ignored
        counts["invalid"] = export.invalid.total()
        for result, number in counts.items():
            self._metrics.count("kvwatch_spans_total", result, by=number)
        return self._outcome(export, counts, sender)

    def close(self) -> None:
        """End the thread; what it is reading is given up."""
        self._decoder.shutdown(wait=False, cancel_futures=True)

    async def _hand_on(self, requests: list[SpanRequest], sender: Sender) -> Counter[str]:
        loop = asyncio.get_running_loop()
        counts: Counter[str] = Counter()
        until = loop.time() + _SLICE_SECONDS
        for request in requests:
            counts[self._hand_on_one(request, sender, self._clock())] += 1
            if loop.time() > until:
                await asyncio.sleep(0)
                until = loop.time() + _SLICE_SECONDS
        return counts

    def _hand_on_one(self, request: SpanRequest, sender: Sender, now: float) -> str:
        """Hand one request on, or not; the result under which its span counts."""
        target = sender.target or self.targets.target_of(request.target, sender.peer)
        if target is None or target not in self.targets:
            return "unassigned"
        record = request.record
        ahead = record.finish - now
        if ahead < -MAX_AGE_SECONDS:
            return "late"
        if not self._seen.add(request.span):
            return "duplicate"
        if ahead > 0:
            record = msgspec.structs.replace(record, arrival=record.arrival - ahead, finish=now)
        self._sink.observe(target, record)
        return "request"

    def _outcome(self, export: Export, counts: Counter[str], sender: Sender) -> Outcome:
        message = ""
        if export.invalid:
            reason = next(iter(export.invalid))
            message = f"{export.invalid[reason]} invalid: {reason}, {REASONS[reason]}"
            self._tell(reason, detail=REASONS[reason], sender=sender.peer)
        if counts["unassigned"]:
            message = message or f"{counts['unassigned']} unassigned: {_UNASSIGNED}"
            self._tell("unassigned", detail=_UNASSIGNED, sender=sender.peer)
        if counts["late"]:
            self._tell("late", detail="ended more than an hour ago; is the sender's clock right?", sender=sender.peer)
        return Outcome(counts["invalid"] + counts["unassigned"], message)

    def _tell(self, reason: str, *, detail: str, sender: str | None) -> None:
        """Log the first case of each reason; the counters have all of them."""
        if reason not in self._told:
            self._told.add(reason)
            event(logging.WARNING, "spans_not_taken", reason=reason, detail=detail, sender=sender)
