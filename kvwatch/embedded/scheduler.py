"""vLLM's scheduler, one engine step after another, touching only the requests to which something happens.

A step first serves the running requests in the order of their admission: each decoding one wants one token, the
one that is still prefilling (there is at most one: it took the rest of some step's budget) all it lacks. A block
that is not there evicts the last of the running: its blocks are freed, it goes to the head of the waiting queue
with the tokens it generated, to be recomputed as a prefill. In a step that evicted nobody, waiting requests are
admitted in order while budget, seats and blocks last; the blocks for the whole known sequence must be free.

A decoding request takes a block every B steps and finishes at a step known when it starts, so both wait in
calendars: a step costs time by what happens in it, not by how many run. The result is that of the plain loop.

Source: vLLM 0.32, v1/core/sched/scheduler.py (schedule, _preempt_request, update_from_output) and
v1/core/kv_cache_manager.py (allocate_slots).
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING

from kvwatch.embedded.prefix_cache import Blocks, PlainBlocks, PrefixCache
from kvwatch.embedded.request import ABORTED, DECODING, FINISHED, PREFILLING, WAITING, Request

if TYPE_CHECKING:
    from collections.abc import Collection

    from kvwatch.embedded.settings import RequestShape, SchedulerSettings

_by_seat = attrgetter("seat")


class Scheduler:
    """The state between steps, and what happened in the latest one.

    After :meth:`step`, until the next: ``decoding`` requests made a token each; ``prefill_tokens`` were computed
    besides, ``recomputed_tokens`` of them for ``recomputing`` requests that had output before their eviction, the rest
    for ``context_requests``; ``resident_blocks`` were held while the step ran. ``admitted``, ``prefilled`` (their
    prefill ended, they made a token), ``preempted`` and ``finished`` list requests.
    """

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        size = settings.block_size_tokens
        usable = settings.usable_blocks
        self.blocks: Blocks = PrefixCache(usable, size) if settings.enable_prefix_caching else PlainBlocks(usable, size)
        self.waiting: deque[Request] = deque()
        self.running: dict[Request, None] = {}
        """In the order of admission; a dictionary because requests leave from anywhere."""
        self.steps = 0
        self._prefilling: Request | None = None
        self._seats_given = 0
        self._block_due: list[dict[Request, None]] = [{} for _ in range(size)]
        """Decoding requests by the step number modulo B at which they need a block."""
        self._finish_due: dict[int, list[Request]] = {}
        self.decoding = self.prefill_tokens = self.resident_blocks = 0
        self.context_requests = self.recomputing = self.recomputed_tokens = 0
        self.admitted: list[Request] = []
        self.prefilled: list[Request] = []
        self.preempted: list[Request] = []
        self.finished: list[Request] = []

    @property
    def used_blocks(self) -> int:
        """Blocks that requests hold now."""
        return self.settings.usable_blocks - self.blocks.free

    def add(self, request: Request) -> None:
        """Queue a request; its output is cut at the model's longest sequence.

        Raises:
            ValueError: The request could never run, and would block all behind it.
        """
        request.output_tokens = min(request.output_tokens, self.check(request))
        self.waiting.append(request)

    def check(self, request: Request | RequestShape) -> int:
        """Return the room that a prompt leaves for output, in tokens.

        Raises:
            ValueError: There is none, so the request could never run.
        """
        settings = self.settings
        room = min(settings.max_model_len, settings.kv_capacity_tokens) - request.prompt_tokens
        if room < 1:
            raise ValueError(
                f"a prompt of {request.prompt_tokens} tokens leaves no room for output: max_model_len is"
                f" {settings.max_model_len}, the KV cache holds {settings.kv_capacity_tokens} tokens"
            )
        return room

    def step(self) -> None:
        """Schedule and execute one engine step."""
        self.steps = step = self.steps + 1
        blocks, running = self.blocks, self.running
        self.prefill_tokens = self.context_requests = self.recomputing = self.recomputed_tokens = 0
        if self.admitted:
            self.admitted = []
        if self.prefilled:
            self.prefilled = []
        if self.preempted:
            self.preempted = []
        due = self._block_due[step % len(self._block_due)]
        if due:
            if len(due) <= blocks.free:
                blocks.take(len(due))
            else:
                self._take_or_preempt(due)
        request = self._prefilling
        self.decoding = len(running) - (request is not None)
        budget = self.settings.max_num_batched_tokens - self.decoding
        if request is not None and budget:
            budget -= self._prefill(request, budget)
        if self.waiting and not self.preempted and budget:
            self._admit(budget)
        self.resident_blocks = self.settings.usable_blocks - blocks.free
        finished = self._finish_due.pop(step, None)
        if finished is not None or self.prefilled:
            self._finish(finished or [])
        elif self.finished:
            self.finished = []

    def _take_or_preempt(self, due: dict[Request, None]) -> None:
        """Give each request that needs one a block, in admission order, evicting from the end of the running."""
        blocks, running = self.blocks, self.running
        for request in sorted(due, key=_by_seat):
            if request.state != DECODING:
                break  # evicted for an earlier one, and so are all behind it
            while not blocks.free:
                victim = next(reversed(running))
                self._preempt(victim)
                if victim is request:
                    return
            blocks.take(1)

    def _prefill(self, request: Request, budget: int) -> int:
        """Compute the next chunk of an admitted request; return its tokens, 0 if that evicted it."""
        size = self.settings.block_size_tokens
        computed = request.computed_tokens
        chunk = min(request.known_tokens - computed, budget)
        needed = -(-(computed + chunk) // size) + -computed // size
        if needed > self.blocks.free:
            self._preempt(request)
            return 0
        self.blocks.take(needed)
        self._compute(request, chunk)
        return chunk

    def _compute(self, request: Request, chunk: int) -> None:
        """Account for a prefill chunk whose blocks are held."""
        request.computed_tokens += chunk
        self.blocks.register(request, request.computed_tokens)
        self.prefill_tokens += chunk
        if request.generated_tokens:
            self.recomputing += 1
            self.recomputed_tokens += chunk
        else:
            self.context_requests += 1
        if request.computed_tokens == request.known_tokens:
            self._prefilling = None
            self.prefilled.append(request)
        else:
            self._prefilling = request

    def _admit(self, budget: int) -> None:
        """Admit waiting requests in order while budget, seats and blocks last."""
        settings, blocks, waiting, running = self.settings, self.blocks, self.waiting, self.running
        size = settings.block_size_tokens
        while budget and waiting and len(running) < settings.max_num_seqs:
            request = waiting[0]
            known = request.prompt_tokens + request.generated_tokens
            hits, evictable = blocks.lookup(request)
            cached = hits * size
            chunk = min(known - cached, budget)
            reserved = known if settings.reserve_full_sequence else cached + chunk
            watermark = settings.watermark_blocks if running else 0
            if -(-reserved // size) - hits + evictable + watermark > blocks.free:
                return
            waiting.popleft()
            if hits or request.cached_run is not None:
                blocks.touch(request, hits)
            blocks.take(-(-(cached + chunk) // size) - hits)
            if not request.preemptions:
                request.first_cached_tokens = cached
            request.computed_tokens = cached
            request.state = PREFILLING
            self._seats_given += 1
            request.seat = self._seats_given
            running[request] = None
            self.admitted.append(request)
            self._compute(request, chunk)
            budget -= chunk

    def _finish(self, finished: list[Request]) -> None:
        """Free what ended in this step and start what ended its prefill on decoding."""
        step, size = self.steps, self.settings.block_size_tokens
        finished = [r for r in finished if r.state == DECODING and r.start_step + r.output_tokens == step]
        finished.sort(key=_by_seat)
        for request in finished:
            del self._block_due[(request.start_step + 2 - request.prompt_tokens) % size][request]
            request.computed_tokens = request.prompt_tokens + request.output_tokens - 1
        for request in self.prefilled:
            request.generated_tokens += 1
            if request.generated_tokens == request.output_tokens:
                finished.append(request)
                continue
            request.state = DECODING
            request.start_step = start = step - request.generated_tokens
            self._block_due[(start + 2 - request.prompt_tokens) % size][request] = None
            self._finish_due.setdefault(start + request.output_tokens, []).append(request)
        for request in finished:
            request.state = FINISHED
            request.generated_tokens = request.output_tokens
            del self.running[request]
            self.blocks.release(request, request.computed_tokens, keep=False)
        self.finished = finished

    def _preempt(self, request: Request) -> None:
        """Evict a running request that has not been served in this step."""
        self._leave(request, self.steps - 1, keep=True)
        request.state = WAITING
        request.computed_tokens = 0
        request.preemptions += 1
        self.waiting.appendleft(request)
        self.preempted.append(request)

    def _leave(self, request: Request, last_step: int, *, keep: bool) -> None:
        """Take a request out of the running as it was after ``last_step``, and free its blocks."""
        del self.running[request]
        if request is self._prefilling:
            self._prefilling = None
        elif request.state == DECODING:
            size = self.settings.block_size_tokens
            del self._block_due[(request.start_step + 2 - request.prompt_tokens) % size][request]
            request.generated_tokens = request.generated_at(last_step)
            request.computed_tokens = request.known_tokens - 1
        self.blocks.release(request, request.computed_tokens, keep=keep)

    def abort(self, requests: Collection[Request]) -> None:
        """Drop requests between two steps, as when their clients went away; those already done are left alone."""
        for request in requests:
            if request.state in {PREFILLING, DECODING}:
                self._leave(request, self.steps, keep=False)
                request.state = ABORTED
            elif request.state == WAITING:
                request.state = ABORTED
        if any(request.state == ABORTED for request in self.waiting):
            self.waiting = deque(request for request in self.waiting if request.state != ABORTED)
