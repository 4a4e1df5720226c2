"""What happened in one engine between two scrapes: the one cause that everything that streams takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kvwatch.core.assumptions import Assumptions
from kvwatch.core.cause import Cause
from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.embedded.settings import DEFAULT_BLOCK_TOKENS, DEFAULT_MAX_NUM_BATCHED_TOKENS
from kvwatch.facts import EngineSample, Settings

MOST_KEPT_INTERVALS = 600
"""Intervals that a window keeps [intervals]. Choice: memory; ten a second of a minute, far more than anyone scrapes."""
FULL_RATIO = 0.9
"""Of seats, memory or token budget in use, to be full [1]. Choice: an engine with a queue stays within some blocks and
seats of its limit, and swings by a tenth in waves of eviction; lower, and requests that wait for something else count
as waiting for capacity."""


@dataclass(frozen=True, slots=True)
class KvCapacity:
    """M in tokens with the block size behind it.

    ``exact`` is false where layers differ in what they hold; ``from_usage`` says that it was worked out from what runs,
    and ``shown_tokens`` is then the M that the server shows, where either of them may be wrong.
    """

    tokens: float
    block_tokens: int
    exact: bool
    from_usage: bool = False
    shown_tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Differences of the counters over one scrape interval, the gauges at its two ends, and the scale of the law.

    Differences are at least 0; ``None`` where a source is missing or poisoned, and where the interval
    :attr:`begins` a chain. ``lengths_*`` are of requests that finished, counted only over intervals in which the two
    length histograms agree on their number.

    Attributes:
        start: Beginning [unix s]; the same as the end where it begins a chain.
        end: Time of the sample that ends it [unix s].
        sample: That sample.
        cause: Why the chain broke here; ``None`` where it goes on.
        settings: The scheduler's settings as far as they are known.
        assumptions: What is assumed of those that are not.
        kv_capacity: M, as it is believed.
        kv_capacity_shown: M, as the server shows it.
        usage_out_of_range: Whether the gauge of memory in use is left out because it has shown what is no share.
        contradicted: Metrics that are left out of the sample because others contradict them.
        counters_fall: Whether the counters begin again so often that they are no running totals.
        standing: Fields of the sample that are not of now, as those that are written with them have moved without them,
            and in how many intervals.
        unit_tokens: Tokens that a request makes in a step: 1 but for speculative decoding.
        step_seconds: Mean step time b, if the engine was seen to step.
        running: Running requests at both ends.
        waiting: Requests that wait for capacity at both ends; deferred ones (LoRA slots, KV transfers), and those that
            are passed over, are no sign of load.
        passed_over: Those of the requests that are said to wait for capacity for which there is room all the time.
        vanished: Requests that left without finishing.
        returned: The requests that had vanished in the interval before were there: that scrape was torn.
        representative: Whether the requests that finished have the lengths of those that arrive; not while an engine
            fills or drains.
    """

    start: float
    end: float
    sample: EngineSample
    cause: Cause | None = None
    settings: Settings = Settings()  # noqa: RUF009 (frozen)
    assumptions: Assumptions = Assumptions()  # noqa: RUF009 (frozen)
    kv_capacity: KvCapacity | None = None
    kv_capacity_shown: KvCapacity | None = None
    usage_out_of_range: bool = False
    contradicted: tuple[Contradiction, ...] = ()
    counters_fall: bool = False
    standing: Mapping[str, int] = field(default_factory=dict)
    unit_tokens: float = 1.0
    step_seconds: float | None = None
    finished: float | None = None
    steps: float | None = None
    generation_tokens: float | None = None
    prompt_tokens: float | None = None
    prompt_tokens_computed: float | None = None
    preemptions: float | None = None
    inter_token_seconds: float | None = None
    inter_tokens: float | None = None
    first_tokens: float | None = None
    prefill_seconds: float | None = None
    lengths_count: float = 0.0
    lengths_prompt_tokens: float = 0.0
    lengths_output_tokens: float = 0.0
    running: tuple[float | None, float | None] = (None, None)
    waiting: tuple[float | None, float | None] = (None, None)
    passed_over: float = 0.0
    kv_usage_ratio: tuple[float | None, float | None] = (None, None)
    vanished: float = 0.0
    returned: bool = False
    representative: bool = True

    @property
    def seconds(self) -> float:
        """Length of the interval."""
        return self.end - self.start

    @property
    def begins(self) -> bool:
        """Whether a chain begins here, so that nothing is known of the time before."""
        return self.cause in (Cause.FIRST, Cause.RESTART)

    @property
    def goes_on(self) -> bool:
        """Whether its differences are about the same requests as those before."""
        return self.cause is None or not self.cause.changes_requests

    @property
    def is_refuted(self) -> bool:
        """Whether something that it shows is no share or is contradicted, so that M is not to be worked out from it."""
        return self.usage_out_of_range or bool(self.contradicted)

    @property
    def waits_for_capacity(self) -> bool:
        """Whether those that wait surely wait for capacity: the server says so, or seats or memory are all but taken.

        An older server does not say why requests wait; some may wait for a LoRA slot while the others are served.
        """
        if self.sample.waiting_capacity is not None:
            return True
        seats, running = self.settings.max_num_seqs, self.running[1] or 0.0
        seated = seats is not None and running >= FULL_RATIO * seats
        return seated or (self.kv_usage_ratio[1] or 0.0) >= FULL_RATIO

    @property
    def kv_tokens(self) -> float | None:
        """M [tokens]."""
        return self.kv_capacity.tokens if self.kv_capacity is not None else None

    @property
    def block_tokens(self) -> int:
        """Size of a block of the KV cache."""
        return self.kv_capacity.block_tokens if self.kv_capacity is not None else DEFAULT_BLOCK_TOKENS

    @property
    def seats(self) -> int | None:
        """Seats to compute with, known or assumed."""
        assumed = self.assumptions.seats
        return self.settings.max_num_seqs or (assumed.value if assumed is not None else None)

    @property
    def budget_tokens(self) -> int | None:
        """Token budget C of a step to compute with, known or assumed."""
        assumed = self.assumptions.budget
        return self.settings.max_num_batched_tokens or (assumed.value if assumed is not None else None)

    @property
    def chunk_tokens(self) -> int:
        """The token budget C of a step, which is the longest chunk of a prompt."""
        return self.budget_tokens or DEFAULT_MAX_NUM_BATCHED_TOKENS

    @property
    def sizes(self) -> tuple[int, int]:
        """Sizes of a block and of a prompt chunk [tokens]."""
        return self.block_tokens, self.chunk_tokens

    @property
    def sizes_in_units(self) -> tuple[int, int]:
        """The same in whole units."""
        return self.whole(self.block_tokens), self.whole(self.chunk_tokens)

    def whole(self, tokens: int) -> int:
        """A number of tokens in whole units, at least one."""
        return max(round(tokens / self.unit_tokens), 1)
