"""A request that ended, as a log has it, and the sizes that it is counted by."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.interval import Interval
from kvwatch.embedded.settings import DEFAULT_BLOCK_TOKENS, DEFAULT_MAX_NUM_BATCHED_TOKENS
from kvwatch.facts import RequestRecord


@dataclass(frozen=True, slots=True)
class Ended:
    """One of an engine's requests.

    ``share`` is the engine's part of it where several engines might have served it; blocks and chunks have the sizes
    that the engine has now [tokens].
    """

    record: RequestRecord
    share: float
    block_tokens: int
    chunk_tokens: int

    @classmethod
    def of(cls, record: RequestRecord, share: float, last: Interval | None) -> Ended:
        """A request of an engine whose newest interval is ``last``; before there is one its sizes are the defaults."""
        return cls(record, share, *(last.sizes if last is not None else _DEFAULT_SIZES))


_DEFAULT_SIZES = (DEFAULT_BLOCK_TOKENS, DEFAULT_MAX_NUM_BATCHED_TOKENS)
