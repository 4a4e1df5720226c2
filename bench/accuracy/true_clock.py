"""How long the steps of a true engine take: the data sheet's law, bent in ways that kvwatch's own law cannot be."""

from __future__ import annotations

import random
from bisect import bisect_left
from dataclasses import dataclass

from kvwatch.embedded.step_clock import GRAPH_SIZES, StepClock
from kvwatch.embedded.step_law import StepLaw

KINDS = ("affine", "curved", "stepped", "roofline")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the steps of an engine are like.

    Attributes:
        kind: ``affine``: the law itself, as a control. ``curved``: decoding and attention get slower than affine,
            each by a quarter at full load. ``stepped``: decode batches are padded to the sizes that have a CUDA
            graph, and a step with prompt tokens in it has none, which costs a tenth of b0. ``roofline``: arithmetic
            hides behind reading the weights until there is more of it, then the other way round.
        full_sequences: Decoding requests at full load, where ``curved`` is a quarter above affine.
        full_tokens: The same for resident tokens.
        weight_seconds: Part of b0 that arithmetic hides behind.
        noise_ratio: Standard deviation of the logarithm of a factor on each step.
        pause_every_seconds: Mean time between pauses of 100–500 ms; None for none.
        gap_seconds: Least and greatest time between two steps.
    """

    kind: str = "affine"
    full_sequences: float = 1.0
    full_tokens: float = 1.0
    weight_seconds: float = 0.0
    noise_ratio: float = 0.0
    pause_every_seconds: float | None = None
    gap_seconds: tuple[float, float] = (0.0, 0.0)


class TrueClock(StepClock):
    """Draws the duration of steps; seeded. ``factor`` slows everything down from now on."""

    def __init__(self, law: StepLaw, truth: Truth, *, seed: int = 0) -> None:
        super().__init__(law, seed=seed)
        self.truth = truth
        self.factor = 1.0
        self._source = random.Random(seed)

    def draw(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> tuple[float, float]:
        """Return a step's own duration and the gap after it, in seconds."""
        truth, source = self.truth, self._source
        seconds = self.mean_seconds(decoding, prefill_tokens, resident_tokens)
        sigma = truth.noise_ratio
        if sigma:
            seconds *= source.lognormvariate(-sigma * sigma / 2, sigma)
        if truth.pause_every_seconds is not None and source.random() * truth.pause_every_seconds < seconds:
            seconds += source.uniform(0.1, 0.5)
        low, high = truth.gap_seconds
        gap = low + (high - low) * source.random() if high else 0.0
        return seconds, gap * self.factor

    def mean_seconds(self, decoding: int, prefill_tokens: int, resident_tokens: float) -> float:
        """Duration without noise, pauses and gaps."""
        b0, b1, b2, b3 = self.law.coefficients
        truth = self.truth
        match truth.kind:
            case "curved":
                decode = b1 * decoding * (1 + 0.25 * decoding / truth.full_sequences)
                attention = b3 * resident_tokens * (1 + 0.25 * resident_tokens / truth.full_tokens)
                seconds = b0 + decode + b2 * prefill_tokens + attention
            case "stepped":
                place = bisect_left(GRAPH_SIZES, decoding)
                padded = GRAPH_SIZES[place] if place < len(GRAPH_SIZES) else decoding
                eager = 0.1 * b0 if prefill_tokens else 0.0
                seconds = b0 + eager + b1 * padded + b2 * prefill_tokens + b3 * resident_tokens
            case "roofline":
                arithmetic = b2 * (decoding + prefill_tokens)
                host = b1 - 0.25 * b2
                hidden = max(truth.weight_seconds, arithmetic) + 0.15 * min(truth.weight_seconds, arithmetic)
                seconds = b0 - truth.weight_seconds + hidden + host * decoding + b3 * resident_tokens
            case _:
                seconds = self.law.seconds(decoding, prefill_tokens, resident_tokens)
        # no step is shorter than its arithmetic takes, of which a decoding sequence needs as much as a prompt token
        return max(seconds, b2 * (decoding + prefill_tokens) + b3 * resident_tokens) * self.factor
