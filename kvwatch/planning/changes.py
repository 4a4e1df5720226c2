"""What to set otherwise to need fewer replicas, and what the answer hangs on: each tried on the saturated engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kvwatch.planning.engine import PlannedEngine

_LEAST_GAIN_RATIO = 0.02
"""Gain or loss of μ from which on a change is shown [1]. Choice: a saturated run's own noise is half of it."""
_SEED_AGAIN = 20261201
"""Seed of the second run of each [1]. Choice: any other than the first's; a gain must show in both."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something else, and by how much μ changes with it [1]: 0.1 for a tenth more."""

    words: str
    gain_ratio: float


def changes(engine: PlannedEngine, progress: Callable[[], None] = lambda: None) -> list[Change]:
    """Settings that would serve more, the best first."""
    found = list(_tried(engine, _settings(engine), progress))
    return sorted((c for c in found if c.gain_ratio >= _LEAST_GAIN_RATIO), key=lambda c: -c.gain_ratio)


def sensitivities(engine: PlannedEngine, progress: Callable[[], None] = lambda: None) -> list[Change]:
    """What μ would be if an input were another one, the one that matters most first."""
    found = list(_tried(engine, _inputs(engine), progress))
    return sorted(found, key=lambda c: -abs(c.gain_ratio))


def _tried(
    engine: PlannedEngine, candidates: Iterator[tuple[str, PlannedEngine]], progress: Callable[[], None]
) -> Iterator[Change]:
    present = [engine.full().throughput_rps, engine.full(seed=_SEED_AGAIN).throughput_rps]
    for words, other in candidates:
        first = other.full().throughput_rps / present[0] - 1
        again = other.full(seed=_SEED_AGAIN).throughput_rps / present[1] - 1
        progress()
        # of two runs the one that promises less
        yield Change(words, min(first, again, key=abs))


def _settings(engine: PlannedEngine) -> Iterator[tuple[str, PlannedEngine]]:
    s, full = engine.settings, engine.full()
    seats = {round(full.mean_running * ratio) for ratio in (0.7, 0.8, 0.9)} | {2 * s.max_num_seqs}
    for number in sorted(n for n in seats if 1 <= n != s.max_num_seqs):
        budget = max(s.max_num_batched_tokens, number)
        yield f"--max-num-seqs {number}", engine.with_settings(max_num_seqs=number, max_num_batched_tokens=budget)
    for number in (s.max_num_batched_tokens // 2, 2 * s.max_num_batched_tokens, 4 * s.max_num_batched_tokens):
        if number >= s.max_num_seqs:
            yield f"--max-num-batched-tokens {number}", engine.with_settings(max_num_batched_tokens=number)
    yield "--watermark 0.01", engine.with_settings(watermark_ratio=0.01)
    doubled = 2 * s.usable_blocks + 1
    yield "--kv-cache-dtype fp8 (twice the tokens in the same memory)", engine.with_settings(num_blocks=doubled)
    if not s.enable_prefix_caching and any(shape.shared_prefix_tokens for shape in engine.pool):
        yield "--enable-prefix-caching", engine.with_settings(enable_prefix_caching=True)


def _inputs(engine: PlannedEngine) -> Iterator[tuple[str, PlannedEngine]]:
    yield "outputs a fifth longer", engine.with_lengths(outputs=1.2)
    yield "prompts a fifth longer", engine.with_lengths(prompts=1.2)
    yield (
        "a tenth less KV memory",
        engine.with_settings(num_blocks=max(int(0.9 * engine.settings.usable_blocks), 1) + 1),
    )
    yield "steps a tenth longer", engine.slower(1.1)
