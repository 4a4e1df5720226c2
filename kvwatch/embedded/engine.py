"""The scheduler in virtual time: arrivals come in, steps take as long as the law says, counters move as vLLM's.

A step is scheduled at its start and counts at its end. Requests that arrive, and clients that leave, while a step
runs are seen when it ends.

With async scheduling a step is composed while the one before it begins to run, so that the GPU never waits for the
scheduler: a request that arrives while a step runs is scheduled when it ends, but runs only after the next one, which
is composed already. Two ends of steps pass between its arrival and its first token, and ``request_prefill_time`` holds
the step before its own. (Source: vLLM 0.32, v1/engine/core.py, step_with_batch_queue. What finishes is freed at once
here and a step later there.)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from kvwatch.embedded.counters import Counters
from kvwatch.embedded.request import ABORTED, FINISHED, Request
from kvwatch.embedded.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kvwatch.embedded.settings import RequestShape, SchedulerSettings
    from kvwatch.embedded.step_clock import StepClock
    from kvwatch.embedded.workload import Arrival


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One engine step, as vLLM's iteration log has it.

    Attributes:
        index: Number of the step, from 0.
        start: Virtual time at which it was scheduled, seconds.
        context_requests: Requests that computed prompt tokens and had no output yet.
        context_tokens: Prompt tokens they computed.
        generation_requests: All others in the batch, those that recompute after an eviction included.
        generation_tokens: Tokens they computed: one for each that decodes, the chunk for each that recomputes.
        elapsed_seconds: Duration of the step, without the gap to the next.
        kv_usage_ratio: Share of the KV cache held once the step was done.
    """

    index: int
    start: float
    context_requests: int
    context_tokens: int
    generation_requests: int
    generation_tokens: int
    elapsed_seconds: float
    kv_usage_ratio: float


class Engine:
    """One emulated vLLM engine.

    Args:
        settings: The scheduler's.
        clock: Says how long each step takes.
        arrivals: Requests in the order of their arrival times; drawn from as time passes.
        start: Virtual time at which the engine starts, in seconds.
        async_scheduling: Whether a step is composed while the one before begins to run.
        on_step: Called with each step when it ends.
    """

    def __init__(  # noqa: PLR0913 (an engine has that many sides)
        self,
        settings: SchedulerSettings,
        clock: StepClock,
        arrivals: Iterable[Arrival] = (),
        *,
        start: float = 0.0,
        async_scheduling: bool = False,
        on_step: Callable[[StepRecord], None] | None = None,
    ) -> None:
        self.settings = settings
        self.started = start
        self.now = start
        self.scheduler = Scheduler(settings)
        self.counters = Counters(settings.max_model_len)
        self.ended: deque[Request] = deque()
        """Requests that finished or were dropped, until someone takes them."""
        self._clock = clock
        self._on_step = on_step
        self._stream: Iterator[Arrival] = iter(arrivals)
        self._next: Arrival | None = next(self._stream, None)
        self._submitted: deque[Request] = deque()
        self._abort_times: list[tuple[float, int, Request]] = []
        self._abort_asked: list[Request] = []
        self._identities = 0
        self._time = start
        """Start of the current step, or end of the latest."""
        self._step_end: float | None = None
        self._elapsed = 0.0
        self._async = async_scheduling
        self._latest_start = start
        """Start of the latest step."""

    def submit(self, shape: RequestShape) -> Request:
        """Let a request arrive now.

        Raises:
            ValueError: It could never run.
        """
        self.scheduler.check(shape)
        request = self._request(shape, self.now)
        self._submitted.append(request)
        return request

    def abort(self, request: Request) -> None:
        """Let a request's client go away now."""
        self._abort_asked.append(request)

    def abort_all(self) -> None:
        """Let all clients go away now."""
        self._abort_asked += [*self.scheduler.running, *self.scheduler.waiting, *self._submitted]

    def advance(self, until: float) -> None:
        """Run to virtual time ``until``; a step still running then is finished by a later call.

        Raises:
            ValueError: ``until`` is in the past.
        """
        if until < self.now:
            raise ValueError(f"cannot advance to {until}: it is {self.now} already")
        while True:
            if self._step_end is not None:
                if self._step_end > until:
                    break
                self._end_step(self._step_end)
            if self._abort_asked or self._abort_times:
                self._drop(self._time)
            composed = self._composed
            self._take_arrivals(composed)
            if self.scheduler.waiting or self.scheduler.running:
                self._begin_step(composed)
                continue
            wake = self._next_arrival
            if wake > until:
                break
            self._time = wake
        self.now = until
        if self._step_end is None:
            self._time = until

    @property
    def wake(self) -> float:
        """Virtual time before which nothing happens unless something is submitted; infinite if nothing ever does."""
        return self._next_arrival if self._step_end is None else self._step_end

    @property
    def _next_arrival(self) -> float:
        return min(
            math.inf if self._next is None else self._next.at,
            self._submitted[0].arrival if self._submitted else math.inf,
        )

    def take_ended(self) -> list[Request]:
        """Return the requests that ended since the last call, in the order of their ends."""
        ended = list(self.ended)
        self.ended.clear()
        return ended

    def _request(self, shape: RequestShape, arrival: float) -> Request:
        self._identities += 1
        return Request(shape, self.settings.block_size_tokens, identity=self._identities, arrival=arrival)

    def _take_arrivals(self, at: float) -> None:
        """Queue what has arrived by ``at``, in order."""
        while self._submitted and self._submitted[0].arrival <= at:
            request = self._submitted.popleft()
            request.queued = at
            self.scheduler.add(request)
        while self._next is not None and self._next.at <= at:
            arrival = self._next
            self._next = next(self._stream, None)
            request = self._request(arrival.shape, arrival.at)
            request.queued = at
            request.abort_at = arrival.abort_at
            self.scheduler.add(request)
            if arrival.abort_at is not None:
                heappush(self._abort_times, (arrival.abort_at, request.identity, request))

    def _drop(self, at: float) -> None:
        """Take out the requests whose clients have left by ``at``."""
        gone, self._abort_asked = self._abort_asked, []
        while self._abort_times and self._abort_times[0][0] <= at:
            gone.append(heappop(self._abort_times)[2])
        # a client may have left by itself in the instant when all were sent away
        left = {request.identity: request for request in gone}
        gone = [request for request in left.values() if request.state not in {FINISHED, ABORTED}]
        if not gone:
            return
        self.scheduler.abort(gone)
        self._submitted = deque(request for request in self._submitted if request.state != ABORTED)
        for request in gone:
            request.ended = at if request.abort_at is None else min(request.abort_at, at)
            self.ended.append(request)
        self.counters.read_gauges(self.scheduler)

    @property
    def _composed(self) -> float:
        """When the next step is composed: now, or, with async scheduling, when a step began that others follow."""
        following = self.scheduler.running or self.scheduler.waiting
        return self._latest_start if self._async and following else self._time

    def _begin_step(self, composed: float) -> None:
        scheduler = self.scheduler
        scheduler.step()
        self.counters.begin_step(scheduler, composed)
        self._latest_start = self._time
        resident = scheduler.resident_blocks * self.settings.block_size_tokens
        self._elapsed, gap = self._clock.draw(scheduler.decoding, scheduler.prefill_tokens, resident)
        self._step_end = self._time + self._elapsed + gap

    def _end_step(self, end: float) -> None:
        scheduler = self.scheduler
        self.counters.end_step(scheduler, end)
        if self._on_step is not None:
            context_tokens = scheduler.prefill_tokens - scheduler.recomputed_tokens
            self._on_step(
                StepRecord(
                    index=scheduler.steps - 1,
                    start=self._time,
                    context_requests=scheduler.context_requests,
                    context_tokens=context_tokens,
                    generation_requests=scheduler.decoding + scheduler.recomputing,
                    generation_tokens=scheduler.decoding + scheduler.recomputed_tokens,
                    elapsed_seconds=self._elapsed,
                    kv_usage_ratio=self.counters.kv_usage_ratio,
                )
            )
        for request in scheduler.finished:
            request.ended = end
            self.ended.append(request)
        self._time = end
        self._step_end = None
