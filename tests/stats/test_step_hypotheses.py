"""The forms of the law and their prior probabilities, against what they are said to stand for."""

from __future__ import annotations

from math import log, sqrt

import pytest

from kvwatch.stats.roofline import BALANCES
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase, hypotheses


def probability(found: tuple[Hypothesis, ...], *, experts: bool | None = None, base: PromptBase | None = None) -> float:
    """Of all forms, or of those with experts or without, or with one base."""
    return sum(
        form.probability
        for form in found
        if (experts is None or bool(form.shape) == experts) and (base is None or form.base is base)
    )


@pytest.mark.parametrize(("ratio", "experts"), [(None, 0.15), (0.0, 0.0), (8 / 128, 0.98)])
def test_the_probabilities_are_those_of_what_is_known_of_the_model(ratio: float | None, experts: float) -> None:
    """All together make 1; of dense ones seven of ten are rooflines, of mixtures three of ten leave the graph.

    Under an alias one of fifty that show no experts leaves it too.
    """
    found = hypotheses(ratio)
    leaving = 0.02 * (1 - experts) if ratio is None else 0.0
    assert probability(found) == pytest.approx(1.0)
    assert probability(found, experts=True) == pytest.approx(experts)
    assert probability(found, base=PromptBase.ROOFLINE) == pytest.approx(0.7 * (1 - experts - leaving))
    assert probability(found, base=PromptBase.EAGER) == pytest.approx(0.3 * experts + leaving)
    assert sorted(form.balance for form in found if form.balance) == pytest.approx(sorted(BALANCES))


@pytest.mark.parametrize(("ratio", "middle", "spread"), [(None, 0.03, 0.8), (8 / 128, 0.8 * 8 / 128, 0.6)])
def test_the_shapes_of_mixtures_lie_about_the_usual_one_or_that_of_the_name(
    ratio: float | None, middle: float, spread: float
) -> None:
    """In logarithms, as far as a grid of factors of two shows it that leaves out what is improbable."""
    shapes = [(log(form.shape), form.probability) for form in hypotheses(ratio) if form.shape]
    whole = sum(share for _, share in shapes)
    mean = sum(x * share for x, share in shapes) / whole
    assert mean == pytest.approx(log(middle), abs=0.1)
    assert sqrt(sum((x - mean) ** 2 * share for x, share in shapes) / whole) == pytest.approx(spread, rel=0.15)
    assert min(share for _, share in shapes) > 0.02 * 0.3 * whole
