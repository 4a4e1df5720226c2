"""Paged KV-cache blocks: who holds how many, which are free, and which of those can be found again by hash.

vLLM gives each block a reference count and keeps the free ones in one queue. A freed block with a hash goes to
the tail, one without to the head, and new blocks are taken from the head; so blanks are always in front of
cached blocks, and cached ones are evicted least recently used first, the last block of a sequence before its
first. Only a shared prefix and a preempted request's own blocks are ever asked for again, so only shared blocks
have an identity here; a request's own cached blocks are one run with a count, shortened from its end.

Source: vLLM 0.32, v1/core/block_pool.py and v1/core/single_type_kv_cache_manager.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kvwatch.embedded.request import Request


class Blocks(Protocol):
    """What the scheduler asks of the block pool. ``free`` counts blocks that nobody holds, cached or not."""

    free: int

    def lookup(self, request: Request) -> tuple[int, int]:
        """Return how many leading blocks of the sequence are cached, and how many of those are free."""

    def touch(self, request: Request, hit_blocks: int) -> None:
        """Hold the first ``hit_blocks`` cached blocks of the sequence."""

    def take(self, count: int) -> None:
        """Turn ``count`` free blocks into held ones, evicting what they cached."""

    def register(self, request: Request, computed_tokens: int) -> None:
        """Give hashes to the blocks that are full once ``computed_tokens`` of the request are computed."""

    def release(self, request: Request, computed_tokens: int, *, keep: bool) -> None:
        """Let go of all blocks of a request; with ``keep`` it may come back for those still cached."""


class PlainBlocks:
    """Blocks without prefix caching: a count."""

    __slots__ = ("_size", "free")

    def __init__(self, usable_blocks: int, block_size_tokens: int) -> None:
        self.free = usable_blocks
        self._size = block_size_tokens

    def lookup(self, request: Request) -> tuple[int, int]:
        """Nothing is cached."""
        return 0, 0

    def touch(self, request: Request, hit_blocks: int) -> None:
        """Nothing to hold."""

    def take(self, count: int) -> None:
        """Hold ``count`` more blocks."""
        self.free -= count

    def register(self, request: Request, computed_tokens: int) -> None:
        """Nothing to register."""

    def release(self, request: Request, computed_tokens: int, *, keep: bool) -> None:
        """Free ⌈computed/B⌉ blocks."""
        self.free += -(-computed_tokens // self._size)


class CachedRun:
    """Blocks next to each other in the free queue: one shared block, or the cached rest of one request's own."""

    __slots__ = ("copies", "count", "owner", "references")

    def __init__(self, count: int) -> None:
        self.count = count
        self.references = 0
        self.owner: Request | None = None
        self.copies: list[CachedRun] | None = None
        """All blocks with this hash, in the order they got it; only for a shared block."""

    def forget(self) -> None:
        """Drop the hash: the last block of the run is handed out."""
        if self.copies is not None:
            self.copies.remove(self)
            self.copies = None
        if self.owner is not None:
            self.owner.cached_run = None
            self.owner = None


class PrefixCache:
    """Blocks with prefix caching."""

    __slots__ = ("_blank", "_queue", "_shared", "_size", "free")

    def __init__(self, usable_blocks: int, block_size_tokens: int) -> None:
        self.free = usable_blocks
        self._size = block_size_tokens
        self._blank = usable_blocks
        self._queue: OrderedDict[CachedRun, None] = OrderedDict()
        self._shared: dict[tuple[int, int], list[CachedRun]] = {}

    def lookup(self, request: Request) -> tuple[int, int]:
        """Count cached leading blocks, and the free ones among them.

        The last known token is never looked up: computing it is what gives the next token.
        """
        most = (request.known_tokens - 1) // self._size
        shared = min(request.shared_blocks, most)
        hits = evictable = 0
        prefix_id, copies_of = request.prefix_id, self._shared
        while hits < shared:
            copies = copies_of.get((prefix_id, hits))
            if not copies:
                return hits, evictable
            evictable += not copies[0].references
            hits += 1
        run = request.cached_run
        if run is not None and hits == request.shared_blocks:
            hits += run.count
            evictable += run.count
        return hits, evictable

    def touch(self, request: Request, hit_blocks: int) -> None:
        """Hold the blocks that ``lookup`` found."""
        for index in range(min(hit_blocks, request.shared_blocks)):
            block = self._shared[request.prefix_id, index][0]
            if not block.references:
                del self._queue[block]
                self.free -= 1
            block.references += 1
            request.held_shared.append(block)
        run = request.cached_run
        if run is not None:
            if hit_blocks > request.shared_blocks:
                del self._queue[run]
                self.free -= run.count
            run.owner = request.cached_run = None

    def take(self, count: int) -> None:
        """Hand out blanks, then the least recently used cached blocks."""
        self.free -= count
        if count <= self._blank:
            self._blank -= count
            return
        count -= self._blank
        self._blank = 0
        queue = self._queue
        while count:
            run = next(iter(queue))
            if run.count > count:
                run.count -= count
                return
            count -= run.count
            del queue[run]
            run.forget()

    def register(self, request: Request, computed_tokens: int) -> None:
        """Make the shared blocks that are now full known to others; a request's own need no entry."""
        held = request.held_shared
        for index in range(len(held), min(request.shared_blocks, computed_tokens // self._size)):
            block = CachedRun(1)
            block.references = 1
            block.copies = self._shared.setdefault((request.prefix_id, index), [])
            block.copies.append(block)
            held.append(block)

    def release(self, request: Request, computed_tokens: int, *, keep: bool) -> None:
        """Queue full blocks as cached, the last one first; the partly filled one becomes a blank."""
        full, rest = divmod(computed_tokens, self._size)
        if rest:
            self._blank += 1
            self.free += 1
        held = request.held_shared
        own = full - len(held)
        if own:
            run = CachedRun(own)
            if keep and len(held) == request.shared_blocks:
                run.owner = request
                request.cached_run = run
            self._queue[run] = None
            self.free += own
        for block in reversed(held):
            block.references -= 1
            if not block.references:
                self._queue[block] = None
                self.free += 1
        held.clear()
