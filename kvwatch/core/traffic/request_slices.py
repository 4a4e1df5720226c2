"""Slices of time with the requests that ended in them: exact sums, and a uniform sample.

The sample holds the requests with the smallest of random numbers, so that the samples of two slices make one of both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kvwatch.constants import LARGEST_SUM, MOST_TOKENS, TINY

Pair = tuple[float, float, float, float]
"""Random number, prompt and output tokens, and seconds from arrival to end."""


@dataclass(slots=True)
class Slice:
    """Requests that ended in one stretch of time: exact sums, and a uniform sample of them."""

    count: int = 0
    demand: float = 0.0
    prompt: float = 0.0
    output: float = 0.0
    kept: list[Pair] = field(default_factory=list)

    def sample(self, size: int) -> list[Pair]:
        """A sample of no more than ``size`` of those kept."""
        return sorted(self.kept)[:size] if len(self.kept) > size else self.kept[:]

    def thin(self, size: int) -> None:
        """Keep no more than such a sample."""
        if len(self.kept) > size:
            self.kept = self.sample(size)

    def join(self, other: Slice) -> None:
        """Take up another slice."""
        self.count += other.count
        self.demand += other.demand
        self.prompt += other.prompt
        self.output += other.output
        # each holds the smallest numbers of its own, so both together hold the smallest of all
        self.kept = [*self.kept, *other.kept]


def restored(rows: object, most: int, size: int) -> dict[int, Slice]:
    """Slices of a dumped state. Raises ValueError or TypeError."""
    if not isinstance(rows, list) or len(rows) > most:
        raise ValueError("not the slices of a window")
    slices = {}
    for index, count, demand, prompt, output, kept in rows:
        pairs = [(float(r), float(s), float(o), float(t)) for r, s, o, t in kept]
        sums = (float(demand), float(prompt), float(output))
        if len(pairs) > size or int(count) < 1 or len(pairs) > int(count) or not pairs:
            raise ValueError("a slice of a window does not add up")
        if not all(0 <= x < LARGEST_SUM for x in (*sums, *(v for pair in pairs for v in pair))):
            raise ValueError("sums of a window out of range")
        if not all(1 <= s <= MOST_TOKENS and 1 <= o <= MOST_TOKENS for _, s, o, _ in pairs):
            raise ValueError("lengths of a window out of range")
        # each request has a prompt token, an output token and a token·step at least
        rest = int(count) - len(pairs)
        least = (float(count), *(sum(pair[i] for pair in pairs) + rest for i in (1, 2)))
        if any(said < (1 - TINY) * known for said, known in zip(sums, least, strict=True)):
            raise ValueError("the sums of a window are of fewer requests")
        slices[int(index)] = Slice(int(count), *sums, pairs)
    return slices
