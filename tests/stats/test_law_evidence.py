"""Dense or a mixture of experts, reading hidden or not: the data decide as far as they can, and the width says so."""

from __future__ import annotations

import random
from math import exp, log

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from kvwatch.stats.expert_coverage import SHAPES, coverage
from kvwatch.stats.law_cells import Cells, coverage_tangents, transform
from kvwatch.stats.law_evidence import _decoding_alone, _log_evidence, _log_posterior, _prompt_share, _trust
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase
from kvwatch.stats.step_law_fit import LawFit
from kvwatch.stats.step_regression import StepRegression

_FULL = (256.0, 300.0, 3e5, 0.6)
"""Mean n, p, K and φ of the full step."""


def _step(n: float, p: float, k: float, share: float, *, experts: float, shape: float) -> float:
    """A mixture's step as published ones are, some 10 µs a sequence, or a dense one without experts [s]."""
    base, whole = 0.006, 0.006 + experts
    covered = 1 - (1 - shape) ** n if experts else 0.0
    return (base + experts * covered) * (1 - share) + whole * share + 3e-5 * n + 2e-5 * p + 2e-8 * k


def _seen(largest: float, *, experts: float, shape: float = 0.03, expert_ratio: float | None = None) -> LawFit:
    """The fit to rows of 2% noise at 2 to ``largest`` sequences, each step with prompts computing 500 tokens."""
    source, regression = random.Random(5), StepRegression()
    regression.expert_ratio = expert_ratio
    for _ in range(600):
        n = 2 * (largest / 2) ** source.random()
        p = 300 * n / 256
        row = (n, p, 1200 * n, min(p / 500, 1.0))
        seconds = _step(*row, experts=experts, shape=shape)
        regression.update(row, seconds * source.lognormvariate(0, 0.02))
    fit = regression.fit(_FULL[:3])
    assert fit is not None
    return fit


@pytest.mark.parametrize("largest", [64.0, 128.0])
def test_a_mixture_of_known_name_is_right_from_light_load_on(largest: float) -> None:
    """To a fifth from a quarter of the sequences, where W and a sequence are hardly apart; a line is 40% off."""
    fit = _seen(largest, experts=0.02, expert_ratio=4 / 128)
    assert fit.seconds(_FULL) / _step(*_FULL, experts=0.02, shape=0.03) == pytest.approx(1, abs=0.2)


def test_a_mixture_under_an_alias_is_recognised_by_its_curve() -> None:
    """Half the sequences of a full engine bend enough."""
    fit = _seen(128.0, experts=0.02)
    assert fit.experts_probability > 0.9
    assert fit.seconds(_FULL) / _step(*_FULL, experts=0.02, shape=0.03) == pytest.approx(1, abs=0.12)


def test_a_dense_model_under_an_alias_is_not_taken_for_a_mixture() -> None:
    """A straight curve stays one; whether reading hides behind prompts is open, and so the interval spans both."""
    fit = _seen(64.0, experts=0.0)
    assert fit.experts_probability < 0.2
    assert 0.05 < fit.probability_of(PromptBase.ROOFLINE) < 0.95
    truth = _step(*_FULL, experts=0.0, shape=0.03)
    assert abs(log(fit.seconds(_FULL) / truth)) < 1.65 * fit.relative_deviation(_FULL)


@pytest.mark.parametrize(("ratio", "error"), [(None, 0.1), (0.0, 0.3)])
def test_steps_with_prompts_that_leave_the_graph_are_known_though_no_decoding_shows_experts(
    ratio: float | None, error: float
) -> None:
    """Ten readings before a prompt's first token, of short answers to prompts of 1,200 tokens; n up to half of full.

    Where the name is of a dense model that time passes for costly tokens, and a full step comes out far longer.
    """
    source, regression = random.Random(9), StepRegression()
    regression.expert_ratio = ratio

    def step(n: float, prompts: float, share: float) -> float:
        return 0.009 * (1 - share) + 0.1 * share + 3e-5 * n + 2e-5 * 1200 * prompts

    for _ in range(400):
        n = 2 * 60 ** source.random()
        prompts = n / 40
        share = 1 - exp(-prompts)
        seconds = step(n, prompts, share) * source.lognormvariate(0, 0.02)
        regression.update((n, 1200 * prompts, 1250 * n, share), seconds)
    fit = regression.fit((240.0, 7200.0, 3e5))
    assert fit is not None
    off = fit.seconds((240.0, 7200.0, 3e5, 1.0)) / step(240.0, 6.0, 1.0) - 1
    assert abs(off) < error if ratio is None else off > error


def test_a_dense_name_leaves_no_experts() -> None:
    """Who says that it is dense is believed, whatever the curve."""
    assert _seen(128.0, experts=0.02, expert_ratio=0.0).experts_probability == 0


def test_what_is_not_known_is_width() -> None:
    """At a handful of sequences the full step is open; the interval holds the truth, and narrows with what is seen."""
    truth = _step(*_FULL, experts=0.02, shape=0.03)
    few, many = _seen(8.0, experts=0.02), _seen(128.0, experts=0.02)
    assert abs(log(few.seconds(_FULL) / truth)) < 1.65 * few.relative_deviation(_FULL)
    assert few.relative_deviation(_FULL) > 2 * many.relative_deviation(_FULL)


def test_a_step_with_a_short_prompt_reads_the_experts_of_its_own_tokens_only() -> None:
    """At 10 sequences a prompt of 20 tokens makes a step of 30; one of 2,000 reads all: the fit knows both."""
    source, regression = random.Random(6), StepRegression()
    regression.expert_ratio = 4 / 128

    def step(n: float, share: float, prompt: float) -> float:
        read = (1 - share) * (1 - 0.97**n) + share * (1 - 0.97 ** (n + prompt))
        return 0.006 + 0.02 * read + 3e-5 * n + 2e-5 * prompt * share

    for _ in range(600):
        n, share, prompt = 2 * 60 ** source.random(), source.uniform(0.0, 0.5), source.choice((20.0, 2000.0))
        row = (n, prompt * share, 1200 * n, share)
        regression.update(row, step(n, share, prompt) * source.lognormvariate(0, 0.01))
    fit = regression.fit((120.0, 300.0, 1.5e5))
    assert fit is not None
    for n in (5.0, 10.0, 40.0):
        for prompt in (20.0, 2000.0):
            assert fit.seconds((n, prompt * 0.3, 1200 * n, 0.3)) == pytest.approx(step(n, 0.3, prompt), rel=0.04)


@pytest.mark.parametrize("seed", range(3))
def test_the_evidence_is_the_density_of_the_data(seed: int) -> None:
    """Of thirty rows under two priors that differ in all: against the normal law of the rows themselves."""
    source = np.random.default_rng(seed)
    rows_of_data = source.normal(size=(30, 6))
    seen = rows_of_data @ source.normal(size=6) + source.normal(size=30)
    logs, exact = [], []
    for _ in range(2):
        prior, target = np.triu(source.uniform(0.5, 2, (6, 6))), source.normal(size=6)
        information = rows_of_data.T @ rows_of_data + prior.T @ prior
        best = np.linalg.solve(information, rows_of_data.T @ seen + prior.T @ target)
        one = (a[None] for a in (rows_of_data.T @ rows_of_data, rows_of_data.T @ seen))
        gram, moment = one
        logs.append(
            float(
                _log_evidence(
                    gram, moment, float(seen @ seen), best[None], prior[None], target[None], information[None]
                )[0]
            )
        )
        spread = np.linalg.inv(prior.T @ prior)
        law = multivariate_normal(
            rows_of_data @ np.linalg.solve(prior, target), np.eye(30) + rows_of_data @ spread @ rows_of_data.T
        )
        exact.append(law.logpdf(seen))
    assert logs[0] - logs[1] == pytest.approx(exact[0] - exact[1], abs=1e-6)


def test_decoding_decides_on_the_shape_and_all_steps_on_the_base() -> None:
    """Two shapes with two bases each; what all steps say between shapes is left out but for the shares of bases."""
    forms = [
        Hypothesis(0.4, PromptBase.VISIBLE),
        Hypothesis(0.1, PromptBase.VISIBLE, 0.05),
        Hypothesis(0.5, PromptBase.EAGER, 0.05),
    ]
    whole, decoding = np.log([1.0, 300.0, 100.0]), np.log([2.0, 3.0, 6.0])
    found = np.exp(_log_posterior(forms, whole, decoding))
    bases = np.array([0.1 * 300, 0.5 * 100]) / (0.1 * 300 + 0.5 * 100)
    wanted = np.array([0.4 * 2.0, *(0.6 * (bases @ [3.0, 6.0]) * bases)])
    assert found / found.sum() == pytest.approx(wanted / wanted.sum())


SLOW, PLAIN = (1.0, 0.5, 40.0, 300.0, 20.0, 1e5, 0.05), (1.0, 0.0, 40.0, 0.0, 0.0, 1e5, 0.02)
"""Means of (1, φ, n, p, n·φ, K, y): steps of 40 sequences, half of them with 600 prompt tokens each, or none."""


@pytest.mark.parametrize(
    ("form", "theta", "without"),
    [
        (Hypothesis(1.0, PromptBase.VISIBLE), (0.01, 0.012, 1e-4, 2e-5, 3e-8, 0.0), 0.01 + 0.004 + 0.003),
        (
            Hypothesis(1.0, PromptBase.EAGER, float(SHAPES[2])),
            (0.004, 0.03, 1e-4, 2e-5, 3e-8, 0.02),
            0.004 + 0.004 + 0.003 + 0.02 * coverage(40.0, float(SHAPES[2])),
        ),
        (
            Hypothesis(1.0, PromptBase.VISIBLE, float(SHAPES[0])),
            (0.004, 0.03, 1e-4, 2e-5, 3e-8, 0.02),
            0.004 + 0.004 + 0.003 + 0.02 * coverage(40.0, float(SHAPES[0])),
        ),
        # reading hides the arithmetic of 40 tokens where it lasts as long as that of 60
        (
            Hypothesis(1.0, PromptBase.ROOFLINE, balance=60.0),
            (0.002, 0.0, 1e-4, 0.0, 3e-8, 0.009),
            0.002 + 0.004 + 0.003 + 0.009,
        ),
        # and where it lasts as long as that of 25, those of 40 take 1.6 times as long
        (
            Hypothesis(1.0, PromptBase.ROOFLINE, balance=25.0),
            (0.002, 0.0, 1e-4, 0.0, 3e-8, 0.009),
            0.002 + 0.004 + 0.003 + 1.6 * 0.009,
        ),
    ],
)
def test_prompts_take_what_a_step_of_the_same_sequences_would_be_shorter(
    form: Hypothesis, theta: tuple[float, ...], without: float
) -> None:
    """Of 50 ms; steps without prompts take no time for any, and no share is below 0."""
    means = np.array([SLOW, PLAIN])
    cells = Cells(means[:, :, None] * means[:, None, :], np.ones(2), means, coverage_tangents(means[:, :-1], SHAPES))
    place = SHAPES.tolist().index(form.shape) if form.shape else -1
    found = _prompt_share(cells, form, np.array(theta), transform(form), place, means[:, -1])
    assert found == pytest.approx([1 - without / 0.05, max(1 - without / 0.02, 0.0)])


def test_a_cell_far_from_the_law_counts_less_in_proportion() -> None:
    """Three typical misfits are as good as none; six count half. Typical is the median by weight, or 2%."""
    misfits = np.array([0.03, -0.04, 0.05, 0.15, -0.3])
    assert _trust(misfits, np.array([1.0, 1.0, 5.0, 1.0, 1.0])) == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.5])
    assert _trust(np.array([0.0, 0.0, 0.0, 0.06, -0.12]), np.ones(5)) == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.5])


def test_cells_of_prompts_say_less_of_decoding_the_more_of_their_time_prompts_take() -> None:
    """All without them, half at a fifth of the time, nothing from two fifths on."""
    assert _decoding_alone(np.array([0.0, 0.2, 0.4, 0.9])) == pytest.approx([1.0, 0.5, 0.0, 0.0])


def _decoded(noise: float, levels: int = 12, rows: int = 50, pause: float = 1.0) -> LawFit:
    """The fit to a dense model that only decodes, at as many loads; ``pause`` is what one load's steps took longer."""
    source, regression = random.Random(8), StepRegression()
    regression.expert_ratio = 0.0
    for level in range(levels):
        n = 2.0 * 1.5**level
        for _ in range(rows):
            seconds = (0.01 + 1e-4 * n) * source.lognormvariate(0, noise) * (pause if level == levels // 2 else 1.0)
            regression.update((n, 0.0, 1000 * n, 0.0), seconds)
    fit = regression.fit((256.0, 300.0, 2.6e5))
    assert fit is not None
    return fit


@pytest.mark.parametrize(("noise", "told"), [(0.0, 0.005), (0.05, 0.05), (0.15, 0.15), (1.5, 0.3)])
def test_how_much_single_rows_scatter_is_told(noise: float, told: float) -> None:
    """Within a twentieth, of 600 rows; no less than 0.5%, and no more than 30%."""
    assert _decoded(noise).residual_ratio == pytest.approx(told, rel=0.05)


def test_a_load_whose_steps_took_three_times_as_long_does_not_move_the_law() -> None:
    """A pause of the host in one of twelve: at a full step by 3% at most, where a plain fit would move by 6%."""
    at = (256.0, 0.0, 2.56e5, 0.0)
    assert _decoded(0.02, pause=3.0).seconds(at) == pytest.approx(_decoded(0.02).seconds(at), rel=0.03)


@pytest.mark.parametrize("rows", [8, 100])
def test_one_load_is_known_to_the_noise_of_its_rows_and_the_error_of_the_form(rows: int) -> None:
    """Two neighbouring rows say as much as one, and however many there are the form may be 2.5% off."""
    fit = _decoded(0.2, levels=1, rows=rows)
    known = (0.025**2 + 2 * fit.residual_ratio**2 / rows) ** 0.5
    # a prior of half its mean narrows it by a hundredth at most
    assert fit.relative_deviation((2.0, 0.0, 2000.0, 0.0)) == pytest.approx(known, rel=0.05)


def test_forms_that_hardly_anything_speaks_for_are_left_out() -> None:
    """Of what is left none is below 0.3% of the most probable one, and together they are 1."""
    shares = [part.probability for part in _seen(128.0, experts=0.02).parts]
    assert min(shares) >= 0.003 * max(shares)
    assert sum(shares) == pytest.approx(1.0)
    assert len(shares) < len(_decoded(0.05, levels=1).parts) + 12
