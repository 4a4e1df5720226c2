"""Pools of requests: what a traffic asks for, exactly known, and drawn from independently."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from kvwatch.embedded.settings import RequestShape
from kvwatch.embedded.workload import Lengths, Lognormal, Uniform, fixed

_POOL = 512


@dataclass(frozen=True, slots=True)
class Drawn:
    """Each request drawn from the pool independently: what comes in a minute scatters as real traffic does."""

    members: tuple[RequestShape, ...]

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        while True:
            yield random_source.choice(self.members)


@dataclass(frozen=True, slots=True)
class Classes:
    """Two kinds of requests, equally frequent."""

    first: Lengths
    second: Lengths

    def shapes(self, random_source: random.Random) -> Iterator[RequestShape]:
        """Draw shapes for ever."""
        streams = [self.first.shapes(random_source), self.second.shapes(random_source)]
        while True:
            yield next(random_source.choice(streams))


@dataclass(frozen=True, slots=True)
class Workload:
    """A named source of lengths; ``prefixes`` different shared prompts lead the requests (0: none)."""

    name: str
    lengths: Lengths
    prefixes: int = 0

    def pool(self, seed: int, longest: int) -> tuple[RequestShape, ...]:
        """Shapes that stand for the traffic, those longer than ``longest`` tokens left out."""
        shapes = (s for s in self.lengths.shapes(random.Random(seed)) if s.prompt_tokens + s.output_tokens <= longest)
        return tuple(islice(shapes, _POOL))


WORKLOADS = (
    Workload("uniform 1:1", Uniform((10, 1600), (10, 1600))),
    Workload("uniform 2:1", Uniform((10, 2133), (10, 1066))),
    Workload("uniform 1:2", Uniform((10, 1066), (10, 2133))),
    Workload("uniform 8:1", Uniform((10, 3200), (10, 400))),
    Workload("long prompts", Lognormal(9000, 0.45, 120, 0.8, longest_tokens=32_000)),
    Workload("chat prefix 512", Lognormal(180, 0.9, 220, 0.7, 0.2, 512, 1, 4000), 1),
    Workload("chat prefix 1500", Lognormal(250, 0.8, 180, 0.8, 0.0, 1500, 4, 4000), 4),
    Workload("correlated", Lognormal(400, 0.8, 250, 0.8, 0.8, longest_tokens=6000)),
    Workload("code completion", Lognormal(1500, 0.6, 24, 0.7, longest_tokens=6000)),
    Workload("fixed", fixed(512, 256)),
    Workload("two classes", Classes(Lognormal(150, 0.6, 500, 0.5), Lognormal(2500, 0.4, 60, 0.5, longest_tokens=8000))),
)


@dataclass(frozen=True, slots=True)
class Composition:
    """Exact means over requests: E[g] of the memory that each holds alone, E[T], E[w], E[o]; and what all hold once."""

    memory_token_steps: float
    steps: float
    compute_tokens: float
    output_tokens: float
    held_once: float

    def of(self, limit: str) -> float:
        """What a request takes of a limit."""
        return {"kv": self.memory_token_steps, "seqs": self.steps, "tokens": self.compute_tokens}[limit]

    def concurrency(self, kv_tokens: float, seats: int, budget: int) -> dict[str, float]:
        """Requests that run at once under each limit alone: what there is a step, over what a request takes a step."""
        return {
            "kv": (kv_tokens - self.held_once) * self.steps / self.memory_token_steps,
            "seqs": float(seats),
            "tokens": budget * self.steps / self.compute_tokens,
        }


def composition(shapes: Sequence[RequestShape], block_tokens: int, chunk_tokens: int) -> Composition:
    """Means over ``shapes``; a shared prefix, as far as it fills blocks, is held once and computed never."""
    return _composition(tuple(sorted(Counter(shapes).items(), key=repr)), block_tokens, chunk_tokens)


@lru_cache(maxsize=512)
def _composition(counted: tuple[tuple[RequestShape, int], ...], block_tokens: int, chunk_tokens: int) -> Composition:
    sums = np.zeros(4)
    prefixes = set()
    for shape, count in counted:
        cached = shape.shared_prefix_tokens // block_tokens * block_tokens
        prefixes.add((shape.prefix_id, cached))
        sums += count * np.array(
            _walk(max(shape.prompt_tokens - cached, 1), shape.output_tokens, block_tokens, chunk_tokens)
        )
    memory, steps, compute, output = (sums / sum(count for _, count in counted)).tolist()
    return Composition(memory, steps, compute, output, float(sum(tokens for _, tokens in prefixes)))


def _walk(prompt: int, output: int, block: int, chunk: int) -> tuple[float, float, float, float]:
    """One request's life, step by step: Σ of the tokens of the blocks held, steps, tokens computed, tokens made."""
    chunks = np.minimum(np.arange(chunk, prompt + chunk, chunk), prompt)
    known = np.concatenate([chunks, prompt + np.arange(1, output)])
    held = -(-known // block) * block
    return float(held.sum()), float(len(known)), float(known[-1]), float(output)
