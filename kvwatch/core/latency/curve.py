"""Latency over the load of one engine: when it is to be worked out again, and what was found last.

The embedded engine is run under eight loads, four to eleven seconds of CPU. So it is done in the background, only where
somebody asks for latencies, and only when what they rest on has moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvwatch.core.capacity.correction import FullEngineRun
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.refresh import fingerprint, has_moved
from kvwatch.embedded.latency_curve import Loaded, Point, latency_curve
from kvwatch.embedded.saturation import Saturation, saturate

_LEAST_SECONDS = 600.0
"""Least time between two runs for one engine [s]. Choice: runs then take about 1% of a core while traffic changes."""
_MOST_SECONDS = 3600.0
"""How old a run gets although nothing has moved [s]. Choice: what is not watched for moves, such as the shape of the
lengths, changes over a day; it then takes about 0.15% of a core."""
_RERUN_RATIO = 0.1
"""Relative change of what latency rests on from which on it is worked out again [1]. Choice: half of it is a run's own
error, and latency goes about as step time does."""
_CHANCE_DISPERSION = 2.5
"""Index of dispersion up to which arrivals may be Poisson's [1]. Measured: by simulation of twenty bins, as the core
takes them, of Poisson arrivals; 95% are below."""
_MOST_BURSTINESS = 5.0
"""Largest coefficient of variation that is computed with [1]. Choice: beyond it arrivals come in single bursts, which
no steady load has."""
_SEED = 20261204
"""Seed of the order of requests in the engine kept full [1]. Choice: any, always the same."""


@dataclass(frozen=True, slots=True)
class LatencyInputs:
    """All that latency over the load depends on: the engine, and how its requests come."""

    full: FullEngineInputs
    burstiness: float = 1.0
    async_scheduling: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """What a run has found: latency at rising loads, the engine kept full, and the mean prompt [tokens]."""

    points: tuple[Point, ...]
    full: Saturation
    mean_prompt_tokens: float


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """Runs of the embedded engine, ready to be made anywhere: pure, seeded, some seconds of CPU."""

    inputs: LatencyInputs

    def run(self) -> Curve | None:
        """The curve; ``None`` where no request fits or the inputs allow no closed form."""
        x = FullEngineRun(self.inputs.full).experiment()
        if x is None:
            return None
        full = saturate(x.pool, x.settings, x.law, steps=x.steps, seed=_SEED)
        engine = Loaded(x.pool, x.settings, x.law, full, self.inputs.burstiness, self.inputs.async_scheduling)
        mean_prompt = sum(shape.prompt_tokens for shape in x.pool) / len(x.pool)
        return Curve(tuple(latency_curve(engine)), full, mean_prompt)


class LatencyModel:
    """The last curve of one engine, and when the next is due; never where nobody has asked (``wanted``)."""

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self.curve: Curve | None = None
        self._at = float("-inf")
        self._asked: tuple[float, ...] = ()

    def take_due(self, now: float, current: Callable[[], LatencyInputs | None]) -> LatencyRun | None:
        """A run to make now, or ``None``. One that was handed out counts as made.

        ``current`` gives the inputs as they are; it costs something, so it is asked only when time allows a run.
        """
        if not self.wanted or now - self._at < _LEAST_SECONDS:
            return None
        inputs = current()
        if inputs is None:
            return None
        asked = (*fingerprint(inputs.full), inputs.burstiness)
        if now - self._at < _MOST_SECONDS and not has_moved(self._asked, asked, _RERUN_RATIO):
            return None
        self._at, self._asked = now, asked
        return LatencyRun(inputs)

    def forget(self) -> None:
        """The engine's settings changed: the last curve says nothing any more."""
        self.curve, self._at = None, float("-inf")


def burstiness(dispersion: float) -> float:
    """Coefficient of variation of the times between arrivals, from the index of dispersion of their counts."""
    return min(dispersion**0.5, _MOST_BURSTINESS) if dispersion > _CHANCE_DISPERSION else 1.0
