"""The seeded design: which hardware meets which traffic under which settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from bench.accuracy.hardware import HARDWARE, Hardware
from bench.accuracy.true_clock import KINDS, TrueClock, Truth
from bench.accuracy.workloads import WORKLOADS, Composition, Workload, composition
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.facts import Settings

T = TypeVar("T")
SEATS = (64, 128, 256, 512, 1024)
BUDGETS = (512, 1024, 2048, 4096, 8192)
LIMITS = ("kv", "seqs", "tokens")
_MODEL_LENGTHS = (8192, 16_384, 32_768)


@dataclass(frozen=True, slots=True)
class TrueEngine:
    """A simulated engine: what kvwatch is shown follows from it, and so does what is true."""

    index: int
    hardware: Hardware
    workload: Workload
    settings: SchedulerSettings
    truth: Truth
    burstiness: float
    pool: tuple[RequestShape, ...]

    @property
    def name(self) -> str:
        """Number and conditions, for tables."""
        return f"{self.index} {self.hardware.name}, {self.workload.name}"

    @property
    def conditions(self) -> str:
        """Law, settings and disturbances, for tables."""
        s, t = self.settings, self.truth
        parts = [t.kind, f"S {s.max_num_seqs}", f"C {s.max_num_batched_tokens}", f"B {s.block_size_tokens}"]
        parts += [f"noise {t.noise_ratio:.0%}"] if t.noise_ratio else []
        parts += ["pauses"] if t.pause_every_seconds else []
        parts += [f"gaps to {1000 * t.gap_seconds[1]:.1f} ms"] if t.gap_seconds[1] else []
        parts += [f"watermark {s.watermark_ratio:.0%}"] if s.watermark_ratio else []
        parts += [f"CV {self.burstiness}"] if self.burstiness != 1 else []
        return ", ".join(parts)

    @property
    def factors(self) -> dict[str, str]:
        """What errors are broken down by, besides hardware, workload and law."""
        s, t = self.settings, self.truth
        return {
            "watermark": f"{s.watermark_ratio:.0%}",
            "arrivals' CV": f"{self.burstiness}",
            "noise": f"{t.noise_ratio:.0%}",
            "pauses": "yes" if t.pause_every_seconds else "no",
            "longest gap": f"{1000 * t.gap_seconds[1]:.1f} ms",
            "block": str(s.block_size_tokens),
            "seats": f"{s.max_num_seqs:4}",
            "budget": f"{s.max_num_batched_tokens:4}",
        }

    @property
    def composition(self) -> Composition:
        """Exact means of the traffic."""
        return composition(self.pool, self.settings.block_size_tokens, self.settings.max_num_batched_tokens)

    @property
    def concurrency(self) -> dict[str, float]:
        """Requests that run at once under each limit alone."""
        s = self.settings
        return self.composition.concurrency(s.kv_capacity_tokens, s.max_num_seqs, s.max_num_batched_tokens)

    @property
    def told(self) -> Settings:
        """What a user tells kvwatch."""
        s = self.settings
        return Settings(s.max_num_seqs, s.max_num_batched_tokens, s.max_model_len, source="config")

    def clock(self, seed: int) -> TrueClock:
        """A clock for one run."""
        return TrueClock(self.hardware.law, self.truth, seed=seed)


def design(count: int) -> list[TrueEngine]:
    """``count`` engines, the same ones each time; a longer design begins with the shorter."""
    seed = iter(range(100, 200))
    hardware, workloads = _deck(HARDWARE, count, next(seed)), _deck(WORKLOADS, count, next(seed))
    kinds, limits = _deck(KINDS, count, next(seed)), _deck(LIMITS, count, next(seed))
    blocks, lengths = _deck((16, 32), count, next(seed)), _deck(_MODEL_LENGTHS, count, next(seed))
    noises, pauses = _deck((0.0, 0.03, 0.05, 0.08), count, next(seed)), _deck((None, None, 30.0), count, next(seed))
    gaps = _deck((0.0, 0.0005, 0.001, 0.002), count, next(seed))
    watermarks = _deck((0.0, 0.01, 0.03), count, next(seed))
    bursts = _deck((1.0, 1.0, 1.5, 2.0), count, next(seed))
    return [
        _engine(
            i, hardware[i], workloads, limits[i], blocks[i], lengths[i], watermarks[i], bursts[i],
            Truth(kinds[i], noise_ratio=noises[i], pause_every_seconds=pauses[i], gap_seconds=(gaps[i] / 5, gaps[i])),
        )
        for i in range(count)
    ]  # fmt: skip


def _deck(values: Sequence[T], count: int, seed: int) -> list[T]:
    """Values in shuffled rounds."""
    source = random.Random(seed)
    cards: list[T] = []
    while len(cards) < count:
        cards += source.sample(values, len(values))
    return cards[:count]


def _engine(  # noqa: PLR0913, PLR0917 (the design has that many factors)
    index: int,
    hardware: Hardware,
    workloads: list[Workload],
    wanted: str,
    block: int,
    longest: int,
    watermark: float,
    burstiness: float,
    truth: Truth,
) -> TrueEngine:
    """One engine; the first workload from its own on that the memory can hold a dozen requests of."""
    source = random.Random(index)
    kv_tokens = hardware.kv_tokens
    order = [*workloads[index : index + 1], *WORKLOADS]
    longest = min(longest, kv_tokens // 4)
    for workload in order:
        prefix = 2000 if workload.prefixes else 0
        if workload.name == "long prompts" and kv_tokens < 200_000:
            continue
        limit = 32_768 if workload.name == "long prompts" else longest
        pool = workload.pool(index, limit)
        mean = sum(s.prompt_tokens + s.output_tokens for s in pool) / len(pool)
        if kv_tokens >= 12 * mean + prefix * workload.prefixes:
            longest = limit
            break
    seats, budget = _settings(source, pool, wanted, kv_tokens, block)
    settings = SchedulerSettings.from_capacity(
        kv_tokens,
        block_size_tokens=block,
        max_num_seqs=seats,
        max_num_batched_tokens=budget,
        max_model_len=longest,
        enable_prefix_caching=workload.prefixes > 0,
    )
    settings = _with_watermark(settings, watermark)
    engine = TrueEngine(index, hardware, workload, settings, truth, burstiness, pool)
    c = engine.composition
    full = min(engine.concurrency.values())
    truth = Truth(
        truth.kind,
        full_sequences=full,
        full_tokens=full * c.memory_token_steps / c.steps + c.held_once,
        weight_seconds=hardware.weight_seconds,
        noise_ratio=truth.noise_ratio,
        pause_every_seconds=truth.pause_every_seconds,
        gap_seconds=truth.gap_seconds,
    )
    return TrueEngine(index, hardware, workload, settings, truth, burstiness, pool)


def _settings(
    source: random.Random, pool: Sequence[RequestShape], wanted: str, kv_tokens: int, block: int
) -> tuple[int, int]:
    """Seats and budget under which the wanted limit binds, if any on the grid are so."""
    grid = [(s, c) for s, c in product(SEATS, BUDGETS) if s <= c]
    binding = {}
    for seats, budget in grid:
        running = composition(pool, block, budget).concurrency(kv_tokens, seats, budget)
        binding[seats, budget] = min(running, key=lambda limit: running[limit])
    return source.choice([option for option in grid if binding[option] == wanted] or grid)


def _with_watermark(settings: SchedulerSettings, ratio: float) -> SchedulerSettings:
    return SchedulerSettings(
        settings.num_blocks,
        settings.block_size_tokens,
        settings.max_num_seqs,
        settings.max_num_batched_tokens,
        settings.max_model_len,
        settings.enable_prefix_caching,
        ratio,
    )
