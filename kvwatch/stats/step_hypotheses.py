"""What a step law may be like: dense or a mixture of experts, its weights hidden behind prompts' arithmetic or not.

A hypothesis fixes the two things that make the law non-linear, the shape x of the experts' coverage and whether reading
the weights hides behind a prompt's arithmetic, and with them the prior of the coefficients. Below half load the data
often tell neither apart, while the full step differs by 15 to 40%: so each hypothesis has a prior probability, and the
data decide as far as they can (:mod:`kvwatch.stats.law_evidence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

from kvwatch.stats.expert_coverage import SHAPES
from kvwatch.stats.roofline import BALANCES


class PromptBase(StrEnum):
    """What a step with prompt tokens takes before its tokens are counted, against one without."""

    VISIBLE = "visible"
    """As much: weights are read, then the prompt is computed (a CPU; prompts of few tokens on a GPU)."""
    ROOFLINE = "roofline"
    """The longer of reading and arithmetic, and little of the shorter (Qwen3-14B on an H100: 0–4 of 11 ms remain)."""
    EAGER = "eager"
    """More: such steps leave the CUDA graph (Kimi-K2.5 and DeepSeek-V4 on GB300: 2 to 9 times reading all weights)."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One form of the law and its prior probability.

    ``shape`` is x of the experts' coverage, 0 for a dense model; ``balance`` is m* of a roofline [tokens], 0 without.
    """

    probability: float
    base: PromptBase
    shape: float = 0.0
    balance: float = 0.0


UNKNOWN_EXPERTS_PROBABILITY = 0.15
"""Prior probability of a mixture of experts where the model's name tells nothing [1]. Choice: each 0.05 more raises
dense models on a CPU, whose curve is slightly concave, by 2% at light load; less knows no mixture by an alias."""
_KNOWN_EXPERTS_PROBABILITY = 0.98
"""The same where the name says so [1]. Choice: the rest is for a name that lies."""
_EAGER_PROBABILITY = 0.3
"""Prior probability that a mixture's steps with prompts leave the graph [1]. Measured: 2 of 5 published traces did."""
_ROOFLINE_PROBABILITY = 0.7
"""Prior probability that a dense model's step obeys a roofline [1]. Choice: GPUs do, as far as traces show; a CPU does
not. At half of it an H100 comes out 3% higher."""
_EAGER_DENSE_PROBABILITY = 0.02
"""The same of a model under an alias, if it is dense or its experts never show [1]. Choice: where steps really leave
the graph the data outvote a fiftieth at once; of dense models a tenth of it raises light load by 1%."""
_SHAPE_RATIO = 0.8
"""x over k/E where that is known [1]. Measured: the median of 34 published curves is 0.82."""
_SHAPE_SPREAD = 0.6
"""sd of its logarithm [1]. Measured: over the same curves."""
_USUAL_SHAPE = 0.03
"""x of a mixture of which nothing else is known [1]. Choice: 0.8 times the median k/E of 14 published
configurations."""
_USUAL_SPREAD = 0.8
"""sd of its logarithm [1]. Choice: theirs, and that of x over k/E."""
_LEAST_SHAPE_SHARE = 0.02
"""Share of the prior below which a shape is left out [1]. Choice: it saves half of the time of a fit."""


def hypotheses(expert_ratio: float | None) -> tuple[Hypothesis, ...]:
    """All forms to weigh for a model of k/E = ``expert_ratio``: 0 for a dense one, ``None`` where nobody knows."""
    experts = {0.0: 0.0, None: UNKNOWN_EXPERTS_PROBABILITY}.get(expert_ratio, _KNOWN_EXPERTS_PROBABILITY)
    dense, roofline = 1 - experts, _ROOFLINE_PROBABILITY
    found = []
    if expert_ratio is None:  # nearly all steps of short answers have prompts: decoding alone then shows no experts
        found.append(Hypothesis(dense * _EAGER_DENSE_PROBABILITY, PromptBase.EAGER))
        dense *= 1 - _EAGER_DENSE_PROBABILITY
    found.append(Hypothesis(dense * (1 - roofline), PromptBase.VISIBLE))
    found += [Hypothesis(dense * roofline / len(BALANCES), PromptBase.ROOFLINE, balance=float(m)) for m in BALANCES]
    for shape, share in _shape_shares(expert_ratio).items() if experts else ():
        found += [
            Hypothesis(experts * share * (1 - _EAGER_PROBABILITY), PromptBase.VISIBLE, shape),
            Hypothesis(experts * share * _EAGER_PROBABILITY, PromptBase.EAGER, shape),
        ]
    return tuple(found)


def _shape_shares(expert_ratio: float | None) -> dict[float, float]:
    """Prior probability of each shape, given that there are experts."""
    middle, spread = (
        (_USUAL_SHAPE, _USUAL_SPREAD) if expert_ratio is None else (_SHAPE_RATIO * expert_ratio, _SHAPE_SPREAD)
    )
    shares = {float(x): exp(-((log(x / middle) / spread) ** 2) / 2) for x in SHAPES}
    whole = sum(shares.values())
    kept = {x: share / whole for x, share in shares.items() if share >= _LEAST_SHAPE_SHARE * whole}
    return {x: share / sum(kept.values()) for x, share in kept.items()}
