"""Draws how long each step of a true engine takes: its physics, and what varies from step to step."""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench.accuracy.step_physics import StepPhysics
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw

_PAUSE_SECONDS = (0.1, 0.5)
"""Least and greatest length of a pause [s]. [choice: garbage collections and noisy neighbours of a host]"""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What varies from step to step.

    Attributes:
        noise_ratio: Standard deviation of the logarithm of a factor of mean 1 on each step.
        pause_every_seconds: Mean time between pauses of 100–500 ms; None for none.
        gap_seconds: Least and greatest time between two steps.
    """

    noise_ratio: float = 0.0
    pause_every_seconds: float | None = None
    gap_seconds: tuple[float, float] = (0.0, 0.0)


class TrueClock(StepClock):
    """Draws the duration of steps; seeded. ``factor`` slows everything down from now on."""

    def __init__(self, physics: StepPhysics, disturbance: Disturbance, *, seed: int = 0) -> None:
        super().__init__(StepLaw(physics.host_seconds + physics.weight_seconds), seed=seed)
        self.physics = physics
        self.disturbance = disturbance
        self.factor = 1.0
        self._source = random.Random(seed)

    def draw(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> tuple[float, float]:
        """Return a step's own duration and the gap after it, in seconds."""
        d, source = self.disturbance, self._source
        seconds = self.mean_seconds(decoding, prefill_tokens, resident_tokens)
        if d.noise_ratio:
            seconds *= source.lognormvariate(-d.noise_ratio * d.noise_ratio / 2, d.noise_ratio)
        if d.pause_every_seconds is not None and source.random() * d.pause_every_seconds < seconds:
            seconds += source.uniform(*_PAUSE_SECONDS)
        low, high = d.gap_seconds
        gap = low + (high - low) * source.random() if high else 0.0
        return seconds, gap * self.factor

    def mean_seconds(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> float:
        """Duration without noise, pauses and gaps."""
        return self.physics.seconds(decoding, prefill_tokens, resident_tokens) * self.factor
