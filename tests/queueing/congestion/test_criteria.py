"""Explicit criteria of stability, derived by hand, against the dominant root that is found numerically.

With one prompt s, f(x) = s·A(x) + B(x), where A = Σ P(o > j)·x^j = (1 − φ)/(1 − x), φ = E[x^o], and B = x·A′. A root
x = exp(iθ) on the unit circle, where stability is gained or lost, therefore needs the prompt
s(θ) = −B/A = E[o·x^o]/(1 − φ) − x/(1 − x), with −x/(1 − x) = 1/2 − (i/2)·cot(θ/2): a real one, above 0.
Far above all of these A decides, whose roots are those of E[x^o] = 1: on the unit circle x^o must be 1 for every class,
so x is a root of unity of their greatest common divisor g. Where g > 1 the finite prompt moves it: with A = 0 there,
A′ = −E[o]/(x·(1 − x)) and B = x·A′ give dx = −B/(s·A′) = −x/s, so the radius is 1 + 1/s: growth exp(E[o]/s) a lifetime.
"""

from __future__ import annotations

from math import exp, gcd

import numpy as np
import pytest
from scipy.optimize import brentq

from kvwatch.queueing.congestion.stability import stability


def prompt_on_the_circle(theta: float, outputs: list[int], weights: list[float]) -> complex:
    """s(θ): the prompt with which exp(iθ) is a root; one that is not real is none."""
    o, q = np.array(outputs, dtype=float), np.array(weights) / sum(weights)
    power = np.exp(1j * theta * o)
    return complex((q @ (o * power)) / (1 - q @ power) + 0.5 - 0.5j / np.tan(theta / 2))


def critical_prompt(outputs: list[int], weights: list[float]) -> float:
    """The longest common prompt with a root on the unit circle; 0 where there is none."""

    def imaginary(theta: float) -> float:
        return prompt_on_the_circle(theta, outputs, weights).imag

    grid = np.linspace(1e-3, np.pi - 1e-9, 200 * max(outputs))
    signs = np.sign([imaginary(t) for t in grid])
    found = [prompt_on_the_circle(np.pi - 1e-12, outputs, weights).real]
    for left in np.flatnonzero(signs[1:] * signs[:-1] < 0):
        theta = brentq(imaginary, grid[left], grid[left + 1], xtol=1e-14)
        if abs(prompt_on_the_circle(theta, outputs, weights).imag) < 1e-6:
            found.append(prompt_on_the_circle(theta, outputs, weights).real)
    return max(0.0, *found)


@pytest.mark.parametrize(
    ("outputs", "weights"), [([7, 10], [1, 1]), ([9, 10], [1, 3]), ([5, 13], [3, 1]), ([3, 20], [1, 1])]
)
def test_two_classes_with_a_common_prompt_turn_stable_at_the_critical_prompt(
    outputs: list[int], weights: list[float]
) -> None:
    """A hundredth below it waves grow, a hundredth above and at all longer prompts they die."""
    critical = critical_prompt(outputs, weights)
    assert critical > 1

    def radius(prompt: float) -> float:
        return stability([prompt] * 2, outputs, weights).radius

    assert radius(0.99 * critical) > 1
    assert all(radius(times * critical) < 1 for times in (1.01, 2, 10, 1000))


@pytest.mark.parametrize("outputs", [[2], [10], [60]])
def test_one_class_has_no_critical_prompt(outputs: list[int]) -> None:
    """s(θ) is then 1/2 − o/2 wherever it is real: never above 0, so no prompt makes it stable."""
    theta = 2.0 * np.pi / outputs[0] * 0.3
    assert prompt_on_the_circle(theta, outputs, [1.0]).real == pytest.approx(0.5 - outputs[0] / 2)
    assert all(stability([s], outputs).radius > 1 for s in (1, 100, 10_000))


@pytest.mark.parametrize("outputs", [[7, 10], [9, 10], [6, 10, 15], [10, 14, 35], [50, 99]])
def test_input_dominated_traffic_without_a_common_divisor_is_stable(outputs: list[int]) -> None:
    """Also where every two of three lengths have one, and with prompts a finite multiple of the outputs."""
    assert gcd(*outputs) == 1
    weights = [1.0] * len(outputs)
    prompt = 1.05 * critical_prompt(outputs, weights)
    for s in (prompt, 10 * prompt, 1e9):
        assert stability([s] * len(outputs), outputs).radius < 1


@pytest.mark.parametrize("outputs", [[6, 10], [60, 150], [4, 100], [6, 10, 14], [12, 30, 42]])
@pytest.mark.parametrize("prompts_per_output", [10, 100])
def test_input_dominated_traffic_with_a_common_divisor_grows_by_one_over_the_prompt(
    outputs: list[int], prompts_per_output: int
) -> None:
    """The radius is 1 + 1/s to second order in o/s, and the period the divisor or a fraction of it."""
    prompt, divisor = float(prompts_per_output * max(outputs)), gcd(*outputs)
    found = stability([prompt] * len(outputs), outputs)
    assert divisor > 1
    assert found.radius - 1 == pytest.approx(1 / prompt, rel=2.0 / prompts_per_output)
    assert found.growth == pytest.approx(exp(np.mean(outputs) / prompt), rel=0.02)
    assert found.period_steps is not None
    assert divisor / found.period_steps == pytest.approx(round(divisor / found.period_steps), abs=0.01)


@pytest.mark.parametrize("outputs", [[7, 10], [30, 100]])
def test_without_prompts_the_fastest_ripple_grows_without_bound(outputs: list[int]) -> None:
    """As s → 0 a root −c_0/c_1 = −s/(s + 1) goes to 0: every second step, and the faster the shorter the prompt."""
    for s in (1e-2, 1e-3):
        found = stability([s, s], outputs)
        assert found.radius == pytest.approx((1 + s) / s, rel=0.05)
        assert found.period_steps == pytest.approx(2.0)
