"""How long an engine step takes, by what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class MeanLaw(Protocol):
    """Anything that tells the mean duration of steps from what is in them in the mean."""

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """Mean duration of steps of which the share ``prefill_share`` computes prompt tokens."""
        ...


@dataclass(frozen=True, slots=True)
class StepLaw:
    """Seconds of a step: b(n, p, K) = base + per_sequence·n + per_prefill_token·p + per_resident_token·K.

    n counts decoding sequences, p prefill tokens, K the tokens of the KV blocks held. The coefficients are physical
    (weights read once, work per sequence, per prompt token, attention over what is resident), so none is negative.
    """

    base_seconds: float
    per_sequence_seconds: float = 0.0
    per_prefill_token_seconds: float = 0.0
    per_resident_token_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a law that runs backwards.

        Raises:
            ValueError: A coefficient is negative, or all are zero.
        """
        coefficients = self.coefficients
        if min(coefficients) < 0 or max(coefficients) <= 0:
            raise ValueError(f"a step law needs non-negative coefficients, one of them positive: {self}")

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """(b0, b1, b2, b3), in seconds, per sequence, per prefill token and per resident token."""
        return (
            self.base_seconds,
            self.per_sequence_seconds,
            self.per_prefill_token_seconds,
            self.per_resident_token_seconds,
        )

    def seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float) -> float:
        """Duration of one step; also the mean over steps of that mean composition, the law being affine."""
        return (
            self.base_seconds
            + self.per_sequence_seconds * decoding
            + self.per_prefill_token_seconds * prefill_tokens
            + self.per_resident_token_seconds * resident_tokens
        )

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """The same whatever share of the steps computes prompt tokens, the law being affine."""
        del prefill_share
        return self.seconds(decoding, prefill_tokens, resident_tokens)

    def scaled(self, factor: float) -> StepLaw:
        """The law of hardware that is ``factor`` times slower."""
        return StepLaw(*(factor * coefficient for coefficient in self.coefficients))
