"""A step law as it was fitted: an average over hypotheses, each with its share of what is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from operator import mul

import numpy as np

from kvwatch.stats import roofline
from kvwatch.stats.expert_coverage import Array, coverage
from kvwatch.stats.step_hypotheses import PromptBase

Composition = Sequence[float]
"""Mean n, p and K of some steps, and the share φ of them with prompt tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """One hypothesis with its posterior ``probability``: how steps with prompts begin, x (0: dense) and m* (0: none).

    ``theta`` are (b0, bp, b1, b2, b3, W), or (b0, –, b1, –, b3, R) of a roofline; ``covariance`` is theirs.
    """

    probability: float
    base: PromptBase
    shape: float
    balance: float
    theta: Array
    covariance: Array

    def regressors(self, composition: Composition) -> tuple[float, ...]:
        """What ``theta`` is multiplied with at (n, p, K, φ)."""
        n, p, k, share = composition
        if self.balance:
            return 1.0, 0.0, n, 0.0, k, roofline.factor(n, p, share, self.balance)
        return 1 - share, share, n, p, k, self._experts_read(n, p, share)

    def _experts_read(self, n: float, p: float, share: float) -> float:
        """What W is multiplied with: bp holds all of it, and a step with a short prompt reads less."""
        beside = coverage(n + p / share, self.shape) - 1 if share > 0 else 0.0
        return (1 - share) * coverage(n, self.shape) + share * beside if self.shape else 0.0

    def seconds(self, composition: Composition) -> float:
        """Mean step time at (n, p, K, φ) [s].

        No less than the arithmetic takes. A decoding sequence needs as much of it a step as a prompt token does; in a
        small batch that hides behind reading the weights, so that b1 does not show it.
        """
        n, p, k, _ = composition
        theta: list[float] = self.theta.tolist()  # of six numbers a loop is faster than an array's product
        law: float = sum(map(mul, self.regressors(composition), theta))
        return max(law, theta[3] * (n + p) + theta[4] * k)


@dataclass(frozen=True, slots=True)
class LawFit:
    """The law: the average over ``parts``, whose probabilities add up to 1.

    ``residual_ratio`` is the residual's relative sd, ``largest`` the longest mean step time of load levels seen more
    than in passing [s], ``seen`` their largest n, p and K, ``weight`` the intervals that the fit rests on.
    """

    parts: tuple[Part, ...]
    residual_ratio: float
    largest: float
    weight: float
    seen: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def probability_of(self, *bases: PromptBase) -> float:
        """How sure it is that steps with prompts begin in one of these ways."""
        return sum(part.probability for part in self.parts if part.base in bases)

    @property
    def experts_probability(self) -> float:
        """How sure it is that the model is a mixture of experts."""
        return sum(part.probability for part in self.parts if part.shape)

    def seconds(self, composition: Composition) -> float:
        """Mean step time at (n, p, K, φ) [s]: the mean over parts is of logarithms, as is what an interval spans."""
        return exp(sum(part.probability * log(part.seconds(composition)) for part in self.parts))

    def relative_deviation(self, composition: Composition) -> float:
        """Standard deviation of the logarithm of the predicted step time at (n, p, K, φ).

        That of each part's coefficients, and that between the parts.
        """
        mean = square = within = 0.0
        for part in self.parts:
            z, seconds = np.array(part.regressors(composition)), part.seconds(composition)
            logarithm = log(seconds)
            mean += part.probability * logarithm
            square += part.probability * logarithm * logarithm
            within += part.probability * float(z @ part.covariance @ z) / (seconds * seconds)
        return sqrt(max(within + square - mean * mean, 0.0))

    def shape_deviation(self, composition: Composition) -> float:
        """What of :meth:`relative_deviation` comes from not knowing whether there are experts.

        0 where all parts are of one kind.
        """
        by_kind: dict[bool, tuple[float, float]] = {}
        for part in self.parts:
            weight, logarithm = by_kind.get(bool(part.shape), (0.0, 0.0))
            by_kind[bool(part.shape)] = (
                weight + part.probability,
                logarithm + part.probability * log(part.seconds(composition)),
            )
        if len(by_kind) < 2:
            return 0.0
        (dense, dense_sum), (mixed, mixed_sum) = by_kind[False], by_kind[True]
        return sqrt(dense * mixed) * abs(mixed_sum / mixed - dense_sum / dense)

    def ratio_deviation(self, a: Composition, b: Composition) -> float:
        """Standard deviation of the logarithm of the step time at ``a`` over that at ``b``; errors in both cancel."""
        mean = square = within = 0.0
        for part in self.parts:
            sa, sb = part.seconds(a), part.seconds(b)
            apart, ratio = np.array(part.regressors(a)) / sa - np.array(part.regressors(b)) / sb, log(sa / sb)
            mean += part.probability * ratio
            square += part.probability * ratio * ratio
            within += part.probability * float(apart @ part.covariance @ apart)
        return sqrt(max(within + square - mean * mean, 0.0))

    def in_units(self, unit_tokens: float) -> LawFit:
        """The same law for p and K counted in units of ``unit_tokens`` tokens."""
        n, p, k = self.seen
        stretch = np.array([1.0, 1.0, 1.0, unit_tokens, unit_tokens, 1.0])
        parts = (
            replace(
                part,
                balance=part.balance / unit_tokens,
                theta=part.theta * stretch,
                covariance=part.covariance * np.outer(stretch, stretch),
            )
            for part in self.parts
        )
        return replace(self, parts=tuple(parts), seen=(n, p / unit_tokens, k / unit_tokens))
