"""Seeded streams of requests: when they come, how long they are, which clients give up."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kvwatch.constants import TINY
from kvwatch.embedded.settings import RequestShape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_TOKENS = 2048
"""Cap on a prompt and on an output each [tokens]. Choice: half of the default longest sequence, so that both together
fit."""
DRAWN_AT_ONCE = 256
"""Shapes drawn together [requests]. Choice: it only saves calls."""
_SEED_BITS = 64
"""Size of the seed that is drawn for the lengths [bits]. Choice: every stream that is ever run has a seed of its
own."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that comes at ``at``; its client leaves at ``abort_at`` if it is not done by then (both seconds)."""

    at: float
    shape: RequestShape
    abort_at: float | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time over which the arrival rate goes linearly from one value to another.

    Attributes:
        seconds: Its length.
        start_rate: Requests a second at its start.
        end_rate: Requests a second at its end.
        abort_at_end: Whether all clients that still wait leave when it ends.
    """

    seconds: float
    start_rate: float
    end_rate: float
    abort_at_end: bool = False

    @property
    def expected_requests(self) -> float:
        """Mean number of arrivals."""
        return self.seconds * (self.start_rate + self.end_rate) / 2

    def time_of(self, requests: float) -> float:
        """Seconds into the segment by which ``requests`` are expected to have come."""
        slope = (self.end_rate - self.start_rate) / self.seconds
        if abs(slope) * self.seconds < TINY * max(self.start_rate, self.end_rate):
            return requests / self.start_rate
        return (math.sqrt(max(self.start_rate**2 + 2 * slope * requests, 0.0)) - self.start_rate) / slope


class Lengths(Protocol):
    """A source of request shapes."""

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Given shapes, in shuffled rounds of the whole pool, so that every stretch of it has the same mix."""

    members: tuple[RequestShape, ...]

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        order = list(self.members)
        while True:
            random_source.shuffle(order)
            yield from order


@dataclass(frozen=True, slots=True)
class Drawn:
    """Given shapes, each request any of them, whatever came before: a stretch of it has a mix of its own."""

    members: tuple[RequestShape, ...]

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        while True:
            yield from random_source.choices(self.members, k=DRAWN_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Prompt and output lengths drawn independently and evenly from closed ranges of tokens."""

    prompt_tokens: tuple[int, int]
    output_tokens: tuple[int, int]

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        while True:
            yield RequestShape(random_source.randint(*self.prompt_tokens), random_source.randint(*self.output_tokens))


def fixed(prompt_tokens: int, output_tokens: int) -> Pool:
    """Every request the same."""
    return Pool((RequestShape(prompt_tokens, output_tokens),))


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal lengths, correlated, optionally behind shared prompts.

    Attributes:
        prompt_median: Of the part of the prompt that is not shared, tokens.
        prompt_sigma: Standard deviation of its logarithm.
        output_median: Tokens.
        output_sigma: Standard deviation of its logarithm.
        correlation: Between the two logarithms, −1 to 1.
        shared_prefix_tokens: Prompt tokens put in front, the same for all requests of one prefix.
        prefixes: How many different shared prompts there are, equally frequent.
        longest_tokens: Cap on prompt and output each.
    """

    prompt_median: float
    prompt_sigma: float
    output_median: float
    output_sigma: float
    correlation: float = 0.0
    shared_prefix_tokens: int = 0
    prefixes: int = 1
    longest_tokens: int = _LONGEST_TOKENS

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        rest = math.sqrt(1 - self.correlation**2)
        while True:
            first, second = random_source.gauss(0, 1), random_source.gauss(0, 1)
            prompt = self._length(self.prompt_median, self.prompt_sigma, first)
            output = self._length(self.output_median, self.output_sigma, self.correlation * first + rest * second)
            shared = self.shared_prefix_tokens
            prefix_id = random_source.randrange(self.prefixes) if shared else 0
            yield RequestShape(prompt + shared, output, shared, prefix_id)

    def _length(self, median: float, sigma: float, deviate: float) -> int:
        return max(1, min(round(median * math.exp(sigma * deviate)), self.longest_tokens))


def arrivals(  # noqa: PLR0913 (a workload has that many sides)
    segments: Sequence[Segment],
    lengths: Lengths,
    *,
    seed: int,
    start: float = 0.0,
    burstiness: float = 1.0,
    patience_seconds: float | None = None,
) -> Iterator[Arrival]:
    """Requests over consecutive segments of time.

    Args:
        segments: The arrival rate over time.
        lengths: Where shapes come from.
        seed: Everything drawn depends on it alone.
        start: Time of the first segment's start, seconds.
        burstiness: Coefficient of variation of the inter-arrival times at constant rate: 1 is Poisson, more comes in
            bursts (gamma-distributed), less is more regular.
        patience_seconds: Mean of the exponentially distributed time after which a client gives up; None for never.
    """
    if burstiness <= 0:
        raise ValueError(f"burstiness is {burstiness}; it must be positive")
    source = random.Random(seed)  # noqa: S311 (reproducible, not secret)
    shapes = lengths.shapes(random.Random(source.getrandbits(_SEED_BITS)))  # noqa: S311
    order = 1 / burstiness**2
    due = source.gammavariate(order, 1 / order)
    for segment in segments:
        expected = segment.expected_requests
        end = start + segment.seconds
        while due < expected:
            at = start + segment.time_of(due)
            gives_up = math.inf if patience_seconds is None else at + source.expovariate(1 / patience_seconds)
            abort_at = min(gives_up, end if segment.abort_at_end else math.inf)
            yield Arrival(at, next(shapes), None if abort_at == math.inf else abort_at)
            due += source.gammavariate(order, 1 / order)
        due -= expected
        start = end
