"""Twenty made-up engines with traffic: five kinds of lengths on four kinds of engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

from kvwatch.embedded.full_means import mean_life
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Lengths, Lognormal, Pool, fixed
from kvwatch.planning.engine import PlannedEngine

_DRAWN = 500
"""Requests that a kind of traffic is made of [requests]. Choice: as many as the exporter's own mixes have."""
_SEED = 20261130
"""Seed of the lengths [1]. Choice: any, always the same."""
_LONGEST_TOKENS = 16_384
"""Longest prompt and longest output [tokens]. Choice: rare in every kind, so that memory holds several."""


@dataclass(frozen=True, slots=True)
class LinearLaw:
    """Step time as a sum of costs [s]: of a step, of a decoding request, of a prompt token, of a token in memory."""

    base: float
    decoding: float
    prefill: float
    resident: float

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of one step."""
        del share
        return self.base + self.decoding * decoding + self.prefill * prefill_tokens + self.resident * resident_tokens

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """The same of means, since it is linear."""
        return self.step_seconds(decoding, prefill_tokens, resident_tokens, prefill_share)


GPU = LinearLaw(0.008, 4e-5, 2.5e-5, 1.2e-8)
"""A model of 8 billion weights on a large GPU."""
CPU = LinearLaw(0.020, 6e-4, 3e-4, 2e-7)
"""A small model on a CPU."""

LENGTHS: dict[str, Lengths] = {
    "chat": Lognormal(300, 0.8, 200, 0.7, longest_tokens=_LONGEST_TOKENS),
    "fixed": fixed(512, 128),
    "documents": Lognormal(3000, 0.5, 100, 0.6, longest_tokens=_LONGEST_TOKENS),
    "reasoning": Lognormal(200, 0.6, 1000, 0.8, longest_tokens=_LONGEST_TOKENS),
    "two kinds": Pool((*([RequestShape(100, 50)] * 4), RequestShape(2000, 600))),
}
"""Traffic."""

ENGINES = ("memory of forty", "memory of twelve", "32 seats", "128 seats")
"""Engines: KV memory for so many mean requests, or so many seats and memory for four times as many."""


@dataclass(frozen=True, slots=True)
class Workload:
    """An engine with its traffic."""

    name: str
    engine: PlannedEngine


def workloads() -> Iterator[Workload]:
    """All twenty."""
    for kind, lengths in LENGTHS.items():
        pool = tuple(islice(lengths.shapes(Random(_SEED)), _DRAWN))
        roomy = SchedulerSettings.from_capacity(1 << 22, max_num_seqs=1024, max_num_batched_tokens=2048)
        life = mean_life(pool, None, roomy)
        held = life.token_steps / life.steps
        """Tokens that a mean running request holds."""
        largest = max(shape.prompt_tokens + shape.output_tokens for shape in pool)
        for name in ENGINES:
            requests = {"memory of forty": 40, "memory of twelve": 12}.get(name)
            seats = 256 if requests is not None else int(name.split()[0])
            tokens = int(held * (requests if requests is not None else 4 * seats))
            settings = SchedulerSettings.from_capacity(
                max(tokens, 2 * largest), max_num_seqs=seats, max_num_batched_tokens=2048
            )
            law = CPU if name in {"memory of twelve", "32 seats"} else GPU
            yield Workload(f"{kind}, {name}", PlannedEngine(pool, settings, law))
