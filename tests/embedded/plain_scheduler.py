"""The scheduler written as the plain loop over real block objects: the oracle for the one that skips."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvwatch.embedded.settings import RequestShape, SchedulerSettings


@dataclass(eq=False)
class Block:
    """A KV-cache block: who counts on it, and its hash once it is full."""

    references: int = 0
    key: tuple[object, ...] | None = None


@dataclass(eq=False)
class PlainRequest:
    """A request that is touched in every step."""

    identity: int
    shape: RequestShape
    output_tokens: int
    generated: int = 0
    computed: int = 0
    blocks: list[Block] = field(default_factory=list)
    preemptions: int = 0
    cached_at_admission: int | None = None
    decoding: bool = False

    @property
    def known(self) -> int:
        """Prompt and generated tokens."""
        return self.shape.prompt_tokens + self.generated

    def key(self, index: int, size: int) -> tuple[object, ...]:
        """Stand-in for the hash of a block's tokens and all before them."""
        if (index + 1) * size <= self.shape.shared_prefix_tokens:
            return ("shared", self.shape.prefix_id, index)
        return ("own", self.identity, index)


@dataclass
class PlainStep:
    """What happened in one step; requests by identity."""

    decoding: int = 0
    prefill_tokens: int = 0
    recomputed_tokens: int = 0
    context_requests: int = 0
    resident_blocks: int = 0
    admitted: list[int] = field(default_factory=list)
    preempted: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)
    scheduled_tokens: int = 0


class PlainScheduler:
    """The running list and the waiting queue, walked through in every step."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        self.free: list[Block] = [Block() for _ in range(settings.usable_blocks)]
        self.cache: dict[tuple[object, ...], list[Block]] = {}
        self.waiting: list[PlainRequest] = []
        self.running: list[PlainRequest] = []

    def add(self, identity: int, shape: RequestShape) -> None:
        """Queue a request."""
        room = min(self.settings.max_model_len, self.settings.kv_capacity_tokens) - shape.prompt_tokens
        self.waiting.append(PlainRequest(identity, shape, min(shape.output_tokens, room)))

    def abort(self, identities: set[int]) -> None:
        """Drop requests between two steps."""
        for request in [r for r in self.running if r.identity in identities]:
            self.running.remove(request)
            self._free(request)
        self.waiting = [r for r in self.waiting if r.identity not in identities]

    def _take(self, count: int) -> list[Block]:
        taken, self.free = self.free[:count], self.free[count:]
        for block in taken:
            assert block.references == 0
            if block.key is not None:
                self.cache[block.key].remove(block)
                block.key = None
            block.references = 1
        return taken

    def _free(self, request: PlainRequest) -> None:
        first, last = [], []
        for block in reversed(request.blocks):
            block.references -= 1
            if block.references == 0:
                (first if block.key is None else last).append(block)
        self.free = first + self.free + last
        request.blocks = []

    def _store(self, request: PlainRequest, computed: int) -> None:
        if not self.settings.enable_prefix_caching:
            return
        size = self.settings.block_size_tokens
        for index in range(computed // size):
            block = request.blocks[index]
            if block.key is None:
                block.key = request.key(index, size)
                self.cache.setdefault(block.key, []).append(block)

    def _allocate(self, request: PlainRequest, tokens: int) -> bool:
        size = self.settings.block_size_tokens
        needed = -(-(request.computed + tokens) // size) - len(request.blocks)
        if needed > len(self.free):
            return False
        request.blocks += self._take(max(needed, 0))
        self._store(request, request.computed + tokens)
        return True

    def step(self) -> PlainStep:  # noqa: PLR0912, PLR0915 (one loop, so that it can be read against the source)
        """Schedule and execute one step."""
        out = PlainStep()
        size = self.settings.block_size_tokens
        budget = self.settings.max_num_batched_tokens
        scheduled: list[tuple[PlainRequest, int]] = []
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            tokens = min(request.known - request.computed, budget)
            placed = True
            while not self._allocate(request, tokens):
                victim = self.running.pop()
                self._free(victim)
                victim.computed = 0
                victim.decoding = False
                victim.preemptions += 1
                self.waiting.insert(0, victim)
                out.preempted.append(victim.identity)
                if victim is request:
                    placed = False
                    break
            if not placed:
                break
            scheduled.append((request, tokens))
            budget -= tokens
            index += 1
        if not out.preempted:
            while budget > 0 and self.waiting and len(self.running) < self.settings.max_num_seqs:
                request = self.waiting[0]
                hits: list[Block] = []
                if self.settings.enable_prefix_caching:
                    for number in range((request.known - 1) // size):
                        copies = self.cache.get(request.key(number, size))
                        if not copies:
                            break
                        hits.append(copies[0])
                cached = len(hits) * size
                tokens = min(request.known - cached, budget)
                evictable = sum(block.references == 0 for block in hits)
                watermark = self.settings.watermark_blocks if self.running else 0
                fit = request.known if self.settings.reserve_full_sequence else cached + tokens
                if -(-fit // size) - len(hits) + evictable + watermark > len(self.free):
                    break
                self.waiting.pop(0)
                for block in hits:
                    if block.references == 0:
                        self.free.remove(block)
                    block.references += 1
                request.blocks = hits
                request.computed = cached
                if not request.preemptions:
                    request.cached_at_admission = cached
                assert self._allocate(request, tokens)
                self.running.append(request)
                out.admitted.append(request.identity)
                scheduled.append((request, tokens))
                budget -= tokens
        out.resident_blocks = self.settings.usable_blocks - len(self.free)
        stopped = []
        for request, tokens in scheduled:
            out.scheduled_tokens += tokens
            if request.decoding:
                out.decoding += 1
            else:
                out.prefill_tokens += tokens
                if request.generated:
                    out.recomputed_tokens += tokens
                else:
                    out.context_requests += 1
            request.computed += tokens
            if request.computed == request.known:
                request.generated += 1
                request.decoding = True
                out.emitted.append(request.identity)
                if request.generated == request.output_tokens:
                    stopped.append(request)
        for request in stopped:
            self.running.remove(request)
            self._free(request)
            out.finished.append(request.identity)
        return out
