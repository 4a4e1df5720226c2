"""Which experts a step reads: tokens choose among experts that are not equally popular."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from math import exp, expm1

import numpy as np
import numpy.typing as npt

_LAYERS = 8
"""Layers drawn for the mean over a model's layers; with more of them the mean hardly changes. [choice]"""
_BISECTIONS = 60
"""Halvings of the interval in which the scale of the popularities lies: beyond double precision. [choice]"""
_LONGEST = 20_000
"""Tokens beyond which a step has read what it ever will. [choice: above every token budget of the designs]"""


@dataclass(frozen=True, slots=True)
class Routing:
    """How the tokens of a model choose experts.

    Attributes:
        experts: E, experts of a layer.
        inclusion: Share of them that one token chooses in the mean, k/E.
        skew: Standard deviation of the logarithm of an expert's popularity; 0: all alike.
        seed: Of the popularities.
    """

    experts: int
    inclusion: float
    skew: float
    seed: int

    def read_share(self, tokens: float) -> float:
        """Share of the experts' weights that a step of so many tokens reads, in the mean over layers."""
        return float(_read_shares(self)[min(round(tokens), _LONGEST)])


@lru_cache(maxsize=64)
def _read_shares(routing: Routing) -> npt.NDArray[np.float64]:
    """The share read by steps of 0, 1, 2 … tokens; each token chooses independently of the others."""
    source = random.Random(routing.seed)
    chosen: list[float] = []
    for _ in range(_LAYERS):
        popularity = [source.lognormvariate(0, routing.skew) for _ in range(routing.experts)]
        chosen += _inclusions(popularity, routing.inclusion)
    left = np.ones(len(chosen))
    keep = 1 - np.array(chosen)
    shares = np.ones(_LONGEST + 1)
    for tokens in range(_LONGEST + 1):
        shares[tokens] = 1 - left.mean()
        if left.max() < 1e-9:
            break
        left *= keep
    return shares


def _inclusions(popularity: list[float], mean: float) -> list[float]:
    """Probability with which a token chooses each expert: 1 − e^(−θ·popularity), θ such that their mean is ``mean``."""
    low, high = 0.0, 1e6
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reached = sum(-expm1(-middle * p) for p in popularity) / len(popularity)
        low, high = (middle, high) if reached < mean else (low, middle)
    return [1 - exp(-low * p) for p in popularity]
