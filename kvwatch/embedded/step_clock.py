"""How long steps really take: the step law plus what an affine law does not have, for making truth to test against.

A GPU pads the decode batch to the sizes it captured graphs for, gets slower than affine when it is very full, varies
from step to step, now and then stalls, and spends time between steps that its own iteration log does not show.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass

from kvwatch.embedded.step_law import StepLaw


@dataclass(frozen=True, slots=True)
class StepTexture:
    """Departures from the affine law; the default has none.

    Attributes:
        curvature_per_sequence: Relative slow-down for each decoding sequence: duration · (1 + c·n).
        padded_sizes: The decode batch counts as the next of these sizes, rising; beyond the last as it is.
        noise_ratio: Standard deviation of the logarithm of a factor of mean 1 on each step.
        outlier_probability: Share of steps that stall.
        outlier_seconds: How long a stall takes on top.
        gap_seconds: Time between two steps, not part of the first one's duration.
        gap_per_sequence_seconds: The same, for each decoding sequence.
    """

    curvature_per_sequence: float = 0.0
    padded_sizes: tuple[int, ...] = ()
    noise_ratio: float = 0.0
    outlier_probability: float = 0.0
    outlier_seconds: float = 0.0
    gap_seconds: float = 0.0
    gap_per_sequence_seconds: float = 0.0

    def mean_law(self, law: StepLaw) -> StepLaw:
        """The affine law of the mean time from step to step; curvature and padding are left out."""
        return StepLaw(
            law.base_seconds + self.gap_seconds + self.outlier_probability * self.outlier_seconds,
            law.per_sequence_seconds + self.gap_per_sequence_seconds,
            law.per_prefill_token_seconds,
            law.per_resident_token_seconds,
        )


class StepClock:
    """Draws the duration of steps; seeded."""

    def __init__(self, law: StepLaw, texture: StepTexture | None = None, *, seed: int = 0) -> None:
        self.law = law
        self.texture = StepTexture() if texture is None else texture
        self._random = random.Random(seed)  # noqa: S311 (reproducible, not secret)

    def draw(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> tuple[float, float]:
        """Return a step's own duration and the gap after it, in seconds."""
        texture = self.texture
        batch = decoding
        if texture.padded_sizes:
            place = bisect_left(texture.padded_sizes, decoding)
            batch = texture.padded_sizes[place] if place < len(texture.padded_sizes) else decoding
        seconds = self.law.seconds(batch, prefill_tokens, resident_tokens)
        seconds *= 1.0 + texture.curvature_per_sequence * decoding
        sigma = texture.noise_ratio
        if sigma:
            seconds *= self._random.lognormvariate(-sigma * sigma / 2, sigma)
        if texture.outlier_probability and self._random.random() < texture.outlier_probability:
            seconds += texture.outlier_seconds
        return seconds, texture.gap_seconds + texture.gap_per_sequence_seconds * decoding
