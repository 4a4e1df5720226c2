"""One request inside the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvwatch.embedded.prefix_cache import CachedRun
    from kvwatch.embedded.settings import RequestShape

WAITING = 0
"""State of a request that holds no memory and no seat [1]. Definition."""
PREFILLING = 1
"""State of one whose prompt, or what it lost with an eviction, is being computed [1]. Definition."""
DECODING = 2
"""State of one that makes a token a step [1]. Definition."""
FINISHED = 3
"""State of one that has made its last token [1]. Definition."""
ABORTED = 4
"""State of one whose client has left [1]. Definition."""


class Request:
    """A request's lengths, in tokens, and how far it has come.

    While a request decodes it makes one token a step, so the scheduler touches it only at the steps where
    something happens to it: ``generated_at`` gives the count for a step. Otherwise ``generated_tokens`` and
    ``computed_tokens`` hold it.
    """

    __slots__ = (
        "abort_at",
        "arrival",
        "cached_run",
        "computed_tokens",
        "decoding_since",
        "ended",
        "first_cached_tokens",
        "first_scheduled",
        "first_token",
        "generated_tokens",
        "held_shared",
        "identity",
        "last_token",
        "output_tokens",
        "preemptions",
        "prefix_id",
        "prompt_tokens",
        "queued",
        "seat",
        "shared_blocks",
        "start_step",
        "state",
        "unreported_preemptions",
    )

    def __init__(
        self,
        shape: RequestShape,
        block_size_tokens: int,
        *,
        identity: int = 0,
        arrival: float = 0.0,
    ) -> None:
        self.prompt_tokens = shape.prompt_tokens
        self.output_tokens = shape.output_tokens
        self.prefix_id = shape.prefix_id
        self.shared_blocks = shape.shared_prefix_tokens // block_size_tokens
        self.identity = identity
        self.arrival = arrival
        self.state = WAITING
        self.generated_tokens = 0
        self.computed_tokens = 0
        self.start_step = 0
        self.seat = 0
        """Rank of its latest admission: the running list is in this order."""
        self.preemptions = 0
        self.held_shared: list[CachedRun] = []
        self.cached_run: CachedRun | None = None
        # What the metrics need to know.
        self.unreported_preemptions = 0
        self.first_cached_tokens: int | None = None
        self.queued = arrival
        self.first_scheduled: float | None = None
        self.first_token: float | None = None
        self.last_token = 0.0
        """When its latest token came; while it decodes, only as of its latest eviction."""
        self.decoding_since = 0.0
        self.ended: float | None = None
        self.abort_at: float | None = None

    @property
    def known_tokens(self) -> int:
        """Prompt and generated tokens, while waiting or prefilling."""
        return self.prompt_tokens + self.generated_tokens

    def generated_at(self, step: int) -> int:
        """Tokens generated once step number ``step`` is done, while decoding."""
        return step - self.start_step
