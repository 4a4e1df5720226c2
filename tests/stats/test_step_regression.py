"""The step law as learnt from few and noisy means."""

from __future__ import annotations

import random
from dataclasses import replace
from math import log

import numpy as np
import pytest

from kvwatch.stats.step_hypotheses import PromptBase
from kvwatch.stats.step_law_fit import LawFit
from kvwatch.stats.step_regression import StepRegression

_LAW = (0.027, 8e-5, 2.7e-4, 6e-8)
_FULL = (130.0, 8000.0, 2.5e5, 1.0)


def _seconds(n: float, p: float, k: float, share: float, *, prefill_base: float = 0.027) -> float:
    b0, b1, b2, b3 = _LAW
    return b0 * (1 - share) + prefill_base * share + b1 * n + b2 * p + b3 * k


_SEEN = (
    (6.6, 3411, 14325, 1.3132, 4.5),
    (0.0, 3151, 1087, 0.5528, 18.6),
    (0.0, 1790, 733, 0.2114, 7.7),
    (16.9, 4421, 32723, 1.7741, 1.5),
    (0.5, 2970, 2134, 0.7072, 6.7),
    (0.5, 1648, 3312, 0.296, 1.0),
    (1.0, 1639, 1944, 0.2485, 1.0),
    (1.6, 3195, 4708, 1.0895, 5.6),
    (1.0, 3558, 4157, 0.8915, 2.5),
    (2.8, 2945, 7197, 1.0172, 4.6),
    (2.5, 1976, 4736, 0.2505, 0.5),
    (2.5, 91, 3838, 0.0506, 8.0),
    (4.0, 2043, 8960, 1.4616, 0.5),
    (8.7, 1919, 21950, 0.5, 8.0),
    (4.4, 148, 8172, 0.0642, 15.9),
    (1.5, 1720, 3416, 0.2017, 1.0),
    (4.9, 4158, 12416, 1.1218, 7.0),
    (11.0, 4411, 24848, 1.3428, 0.5),
    (2.6, 136, 4992, 0.0513, 6.0),
)
"""Mean n, p, K and seconds with their weights, of a server that rarely computes a long prompt: some of its prompts
were counted an interval after the steps that computed them."""


def _learnt(rows: int = 60, prefill_base: float = 0.027) -> StepRegression:
    """A law learnt from rows without noise: steps without prompt tokens, steps with, and means over both."""
    source, regression = random.Random(1), StepRegression()
    for _ in range(rows):
        n, share = source.uniform(0, 10), source.choice([0.0, 0.1, 0.5, 1.0])
        row = (n, share * source.choice([300.0, 1800.0, 3500.0]), 2500 * n, share)
        regression.update(row, _seconds(*row, prefill_base=prefill_base))
    return regression


def _fit(regression: StepRegression) -> LawFit:
    fit = regression.fit(_FULL[:3])
    assert fit is not None
    return fit


def test_rows_that_contradict_each_other_do_not_make_prompt_tokens_free() -> None:
    """A fit that puts b0 at 0 does not drag the other coefficients' priors to 0 with it."""
    regression = StepRegression()
    for n, p, k, seconds, weight in _SEEN:
        regression.update((n, p, k, min(p / 1800, 1.0)), seconds, weight)
    assert 0.5 < _fit(regression).seconds(_FULL) / _seconds(*_FULL) < 2


def test_exact_rows_give_the_law_back() -> None:
    """Without noise the law is learnt to within the weak prior."""
    assert _fit(_learnt(400)).seconds(_FULL) == pytest.approx(_seconds(*_FULL), rel=0.05)


def test_what_fades_weighs_less_and_vanishes_in_the_end() -> None:
    """Half the weight after a half-life; nothing to fit when all of it is gone."""
    regression = _learnt()
    before = _fit(regression)
    regression.fade(0.5)
    assert _fit(regression).weight == pytest.approx(before.weight / 2)
    assert _fit(regression).seconds(_FULL) == pytest.approx(before.seconds(_FULL), rel=0.05)
    for _ in range(20):
        regression.fade(0.5)
    assert regression.fit(_FULL[:3]) is None


def test_where_arithmetic_hides_behind_reading_weights_decoding_beside_prompts_is_not_free() -> None:
    """Steps with prompts that start from a low base show it; a full step then counts its sequences as tokens."""
    hiding, plain = _fit(_learnt(400, prefill_base=0.0)), _fit(_learnt(400))
    assert hiding.probability_of(PromptBase.ROOFLINE) > 0.9
    assert plain.probability_of(PromptBase.VISIBLE) > 0.9
    crowded, empty = (500.0, 2000.0, 0.0, 1.0), (0.0, 2000.0, 0.0, 1.0)
    grown = hiding.seconds(crowded) - hiding.seconds(empty)
    assert grown > 1.5 * (plain.seconds(crowded) - plain.seconds(empty))


def test_a_base_of_prompt_steps_far_above_the_other_one_is_not_believed_of_a_dense_model() -> None:
    """What looks like it is a slope that was seen badly."""
    regression = _learnt(400, prefill_base=0.1)
    regression.expert_ratio = 0.0
    for part in _fit(regression).parts:
        if part.base is PromptBase.VISIBLE:
            assert part.theta[1] <= 1.151 * part.theta[0]


def test_a_state_of_the_form_without_experts_is_taken_up() -> None:
    """Cells hold what they held; what the model is comes from its name, not from the state."""
    before = _learnt(400)
    after = StepRegression.load(before.dump())
    after.expert_ratio = before.expert_ratio
    assert _fit(after).seconds(_FULL) == pytest.approx(_fit(before).seconds(_FULL), rel=1e-6)


def test_hypotheses_that_disagree_on_a_ratio_of_step_times_are_its_width() -> None:
    """With coefficients that are all known, what is left is the spread of the parts' ratios."""
    fit = _learnt().fit(_FULL[:3])
    assert fit is not None
    sure = replace(fit, parts=tuple(replace(part, covariance=0 * part.covariance) for part in fit.parts))
    few, many = (8.0, 0.0, 1e4, 0.0), (130.0, 8000.0, 2.5e5, 1.0)
    ratios = np.array([log(part.seconds(many) / part.seconds(few)) for part in sure.parts])
    weights = np.array([part.probability for part in sure.parts])
    spread = float(np.sqrt(np.cov(ratios, aweights=weights, bias=True)))
    assert spread > 1e-6
    assert sure.ratio_deviation(many, few) == pytest.approx(spread, rel=1e-6)
    assert fit.ratio_deviation(many, few) > spread
