"""Random mixes of a few classes of length: harder than the forty, for only a part of them swings.

Between two and six classes that come equally often, prompts and outputs drawn without regard to each other. Nothing is
chosen: they are the first that the source draws.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench.accuracy.hardware import HARDWARE
from bench.congestion.embedded import predicted, simulate, swing_of
from bench.congestion.mixes import Mix
from kvwatch.core.eviction.wave import is_wave
from kvwatch.embedded.settings import RequestShape, SchedulerSettings

CLASS_MIXES = 60
_SEED = 77
_BLOCK_TOKENS, _BUDGET, _SEATS = 16, 8192, 1024


def class_mixes(count: int = CLASS_MIXES) -> list[Mix]:
    """The first ``count``, always the same; memory for 50 or 100 requests."""
    source = random.Random(_SEED)
    return [_drawn(source) for _ in range(count)]


def _drawn(source: random.Random) -> Mix:
    classes = source.choice((2, 3, 3, 4, 6))
    output, prompt = source.choice((60, 100, 150)), source.choice((20, 100, 300, 600))
    pairs = [(source.randint(5, 2 * prompt), source.randint(5, 2 * output)) for _ in range(classes)]
    held = sum((s + o / 2) * o for s, o in pairs) / sum(o for _, o in pairs)
    longest = max(s + o for s, o in pairs)
    settings = SchedulerSettings.from_capacity(
        int(max(source.choice((50, 100)) * held, longest + 2 * _BLOCK_TOKENS)),
        block_size_tokens=_BLOCK_TOKENS,
        max_num_seqs=_SEATS,
        max_num_batched_tokens=_BUDGET,
    )
    name = " + ".join(f"({s}, {o})" for s, o in pairs)
    return Mix(name, tuple(RequestShape(s, o) for s, o in pairs), settings, HARDWARE[0].law)


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """A mix of a few classes: what is predicted of it, and how its batch swings when simulated."""

    name: str
    growth: float
    verdict: str
    waves: bool
    synchronisation: float
    crest: float | None
    trough: float | None
    period: float | None
    preemptions_per_finished: float


def class_outcome(mix: Mix) -> ClassOutcome:
    """Predict, simulate and compare whether there are waves, and no more."""
    found = predicted(mix)
    running, _, evicted = simulate(mix)
    swing, synchronisation = swing_of(mix, running)
    return ClassOutcome(
        name=mix.name,
        growth=found.growth,
        verdict=found.verdict,
        waves=swing is not None and is_wave(swing, synchronisation),
        synchronisation=synchronisation,
        crest=swing.crest if swing else None,
        trough=swing.trough if swing else None,
        period=swing.period if swing else None,
        preemptions_per_finished=evicted,
    )
