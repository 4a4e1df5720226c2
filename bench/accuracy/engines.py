"""The seeded designs of dense models: which hardware meets which traffic under which settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

from bench.accuracy import nature
from bench.accuracy.hardware import HARDWARE, Efficiency, Hardware
from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.true_clock import Disturbance, TrueClock
from bench.accuracy.workloads import WORKLOADS, Composition, Workload, composition
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.facts import Settings

T = TypeVar("T")
SEATS = (64, 128, 256, 512, 1024)
BUDGETS = (512, 1024, 2048, 4096, 8192)
LIMITS = ("kv", "seqs", "tokens")
HELD_OUT_HARDWARE = ("A100-40 8B", "H100 32B x2", "H200 70B x8", "A10 7B")
HELD_OUT_WORKLOADS = ("uniform 1:2", "chat prefix 512", "correlated", "fixed")
"""Names of what nobody tunes on: an engine with either is scored at the end only."""
_MODEL_LENGTHS = (8192, 16_384, 32_768)
_NATURE_SEED = 50_000
"""Of what is drawn for engine 0; the next engine has the next."""


@dataclass(frozen=True, slots=True)
class TrueEngine:
    """A simulated engine: what kvwatch is shown follows from it, and so does what is true.

    Attributes:
        index: Seed of all that is drawn while it runs.
        system: Model and GPUs, for tables.
        model_name: The model's published name.
        workload: Its traffic.
        settings: The scheduler's.
        kind: What its step times are like, for tables.
        physics: What a step does with its time.
        disturbance: What varies from step to step.
        burstiness: Coefficient of variation of the times between arrivals.
        pool: Requests that stand for the traffic.
        async_scheduling: Whether a step is composed while the one before runs.
        held_out: Whether nobody tunes on it.
    """

    index: int
    system: str
    model_name: str
    workload: Workload
    settings: SchedulerSettings
    kind: str
    physics: StepPhysics
    disturbance: Disturbance
    burstiness: float
    pool: tuple[RequestShape, ...]
    async_scheduling: bool = False
    held_out: bool = False

    @property
    def name(self) -> str:
        """Number and conditions, for tables."""
        return f"{self.index} {self.system}, {self.workload.name}"

    @property
    def conditions(self) -> str:
        """Law, settings and disturbances, for tables."""
        s, d = self.settings, self.disturbance
        parts = [self.kind, f"S {s.max_num_seqs}", f"C {s.max_num_batched_tokens}", f"B {s.block_size_tokens}"]
        parts += ["async"] if self.async_scheduling else []
        parts += [f"noise {d.noise_ratio:.0%}"] if d.noise_ratio else []
        parts += ["pauses"] if d.pause_every_seconds else []
        parts += [f"gaps to {1000 * d.gap_seconds[1]:.1f} ms"] if d.gap_seconds[1] else []
        parts += [f"watermark {s.watermark_ratio:.1%}"] if s.watermark_ratio else []
        parts += [f"CV {self.burstiness}"] if self.burstiness != 1 else []
        return ", ".join(parts)

    @property
    def factors(self) -> dict[str, str]:
        """What errors are broken down by, besides hardware, workload and law."""
        s, d = self.settings, self.disturbance
        return {
            "watermark": _class_of(s.watermark_ratio, (0, 0.01, 0.04), ".0%"),
            "arrivals' CV": f"{self.burstiness}",
            "noise": _class_of(d.noise_ratio, (0, 0.03, 0.08), ".0%"),
            "pauses": "yes" if d.pause_every_seconds else "no",
            "scheduling": "async" if self.async_scheduling else "sync",
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
        return Settings(
            s.max_num_seqs,
            s.max_num_batched_tokens,
            s.max_model_len,
            watermark_ratio=s.watermark_ratio,
            source="config",
        )

    def clock(self, seed: int) -> TrueClock:
        """A clock for one run."""
        return TrueClock(self.physics, self.disturbance, seed=seed)


def _class_of(value: float, edges: Sequence[float], spec: str) -> str:
    """The first edge that a value does not pass."""
    return "up to " + format(next(edge for edge in edges if value <= edge), spec)


def filled(engine: TrueEngine) -> TrueEngine:
    """The engine with bends that refer to its own full load."""
    c, full = engine.composition, min(engine.concurrency.values())
    physics = replace(
        engine.physics,
        full_sequences=full,
        full_tokens=full * c.memory_token_steps / c.steps + c.held_once,
        budget_tokens=float(engine.settings.max_num_batched_tokens),
    )
    return replace(engine, physics=physics)


def design(count: int) -> list[TrueEngine]:
    """``count`` engines, the same ones each time; a longer design begins with the shorter."""
    seed = iter(range(100, 200))
    hardware, workloads = _deck(HARDWARE, count, next(seed)), _deck(WORKLOADS, count, next(seed))
    kinds, limits = _deck(nature.KINDS, count, next(seed)), _deck(LIMITS, count, next(seed))
    blocks, lengths = _deck((16, 32), count, next(seed)), _deck(_MODEL_LENGTHS, count, next(seed))
    bursts = _deck((1.0, 1.0, 1.5, 2.0), count, 110)
    return [
        _engine(i, hardware[i], workloads, limits[i], blocks[i], lengths[i], bursts[i], kinds[i]) for i in range(count)
    ]


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
    burstiness: float,
    kind: str,
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
    unknown = random.Random(_NATURE_SEED + index)
    return filled(
        TrueEngine(
            index=index,
            system=hardware.name,
            model_name=hardware.model.name,
            workload=workload,
            settings=replace(settings, watermark_ratio=nature.watermark(unknown)),
            kind=kind,
            physics=nature.bent(hardware.physics(Efficiency.drawn(unknown)), kind, unknown),
            disturbance=nature.disturbance(unknown),
            burstiness=burstiness,
            pool=pool,
            held_out=hardware.name in HELD_OUT_HARDWARE or workload.name in HELD_OUT_WORKLOADS,
        )
    )


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
