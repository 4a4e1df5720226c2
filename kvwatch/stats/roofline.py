"""How long reading the weights and the arithmetic of a step's tokens take together (the roofline).

Reading takes R, the arithmetic of m tokens R·m/m*, with m* the machine's balance: as many tokens as are computed while
the weights are read once. The shorter one hides behind the longer one, so that both together take R·max(1, m/m*)
(Williams, Waterman and Patterson, CACM 52, 2009). Below m* prompts look free, far above it reading does; what a full
step takes follows from either.
"""

from __future__ import annotations

from math import exp

import numpy as np

from kvwatch.constants import TINY
from kvwatch.stats.expert_coverage import Array

BALANCES: Array = 60.0 * 1.3 ** np.arange(7, dtype=float)
"""m* on a grid of factors of 1.3 [tokens]. Data sheet: 60 to 290 for anything that vLLM runs on."""
_LENGTHS_SHAPE = 2
"""Shape of the gamma law by which prompt tokens of a step scatter about their mean [1]. Choice: a coefficient of
variation of 0.7, that of chat prompts; it rounds the knee."""


def factor(decoding: float, prompt_tokens: float, share: float, balance: float) -> float:
    """Mean of g over steps of n sequences each, the share φ of which also has prompt tokens, p in the mean over all."""
    alone = 1 + max(decoding - balance, 0.0) / balance
    if share <= 0:
        return alone
    s = prompt_tokens / share
    beside = 1 + _beyond(s, balance - decoding) / balance
    return (1 - share) * alone + share * beside


def tangents(means: Array, balances: Array) -> Array:
    """For cells of means (1, φ, n, p, n·φ, K) (C, 6): what R is multiplied with nearby, linear in them (C, X, 6)."""
    _, share, n, p, _, _ = (column[:, None] for column in means.T)
    s = p / np.maximum(share, TINY)
    room = balances - n
    theta = np.maximum(s, TINY) / _LENGTHS_SHAPE
    over = np.maximum(room, 0.0) / theta
    survivors = np.exp(-over) * (1 + over)  # P(s > room)
    excess = np.where(room > 0, np.exp(-over) * (_LENGTHS_SHAPE + over) * theta, s - room)
    alone, beside = 1 + np.maximum(-room, 0.0) / balances, 1 + excess / balances
    alone_n = (room < 0) / balances
    beside_n = np.where(room > 0, survivors, 1.0) / balances
    beside_s = np.where(room > 0, _mean_growth(over), 1.0) / balances
    by_share = beside - alone - s * beside_s
    by_n = (1 - share) * alone_n + share * beside_n
    value = (1 - share) * alone + share * beside
    found = np.zeros((len(means), len(balances), means.shape[1]))
    found[:, :, 0] = value - by_share * share - by_n * n - beside_s * p
    found[:, :, 1:4] = np.stack([by_share, by_n, beside_s], axis=2)
    return found


def _beyond(mean: float, room: float) -> float:
    """E[(s − room)⁺] of a gamma law of shape 2."""
    if room <= 0:
        return mean - room
    theta = max(mean, TINY) / _LENGTHS_SHAPE
    return exp(-room / theta) * (_LENGTHS_SHAPE * theta + room)


def _mean_growth(over: Array) -> Array:
    """Derivative of E[(s − room)⁺] by the mean of s, where over = room/θ: the law scales with its mean."""
    # E = θ·e^(−x)(2 + x), x = room/θ; dE/dθ = e^(−x)(2 + 2x + x²), and dθ/ds = 1/2
    return np.asarray(np.exp(-over) * (_LENGTHS_SHAPE + 2 * over + over * over) / _LENGTHS_SHAPE)
