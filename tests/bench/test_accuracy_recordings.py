"""μ on the recordings of a real vLLM, computed anew: within its bounds, and the figures that are committed.

What README says kvwatch is worth rests on these. They are computed once for all tests of this file.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from bench.accuracy import results
from bench.accuracy.recordings import FOLDER, PhaseOutcome, score_recording

NAMES = ("chat", "homog", "moe-chat", "moe-decode", "ramp11", "seqcap")
STEADY = ("chat", "homog", "seqcap")
MIXTURES = ("moe-chat", "moe-decode")

_ROUNDING = 1e-6
"""Other processors, and other builds of numpy, differ in the last digits of sums; nothing else may move a figure."""


@pytest.fixture(scope="module")
def outcomes() -> list[PhaseOutcome]:
    """Every phase of every recording, with and without what came before it."""
    return [outcome for name in NAMES for outcome in score_recording(FOLDER / name)]


@pytest.fixture(scope="module")
def steady(outcomes: list[PhaseOutcome]) -> list[PhaseOutcome]:
    """Phases of one load below saturation, seen without the saturated phase before them."""
    return [o for o in outcomes if o.kind == "const" and not o.whole and o.recording in STEADY]


def _errors(outcomes: list[PhaseOutcome]) -> list[float]:
    assert all(o.error is not None for o in outcomes)
    return sorted(abs(o.error) for o in outcomes if o.error is not None)


@pytest.mark.long
def test_every_phase_is_scored(outcomes: list[PhaseOutcome]) -> None:
    """Three loads and two saturated phases, or a ramp; the loads both with what came before them and without."""
    for name in NAMES:
        kinds = [o.kind for o in outcomes if o.recording == name and o.whole]
        assert kinds == (["sat", *["ramp"] * 4] if name == "ramp11" else ["sat", "const", "const", "const", "sat"])
    for name in (*STEADY, *MIXTURES):
        alone = [o for o in outcomes if o.recording == name and not o.whole]
        assert [o.load for o in alone if o.kind == "const"] == [0.25, 0.5, 0.75]


def test_from_half_load_on_mu_is_within_seven_percent_in_the_median_and_sixteen_at_worst(
    steady: list[PhaseOutcome],
) -> None:
    """The bounds that are promised of recordings, before anything waits and before the engine was ever full."""
    errors = _errors([o for o in steady if o.load >= 0.5])
    assert len(errors) == 6
    assert (errors[2] + errors[3]) / 2 <= 0.07
    assert errors[-1] <= 0.16


def test_at_a_quarter_load_mu_is_within_twelve_percent_in_the_median_and_twenty_eight_at_worst(
    steady: list[PhaseOutcome],
) -> None:
    """A quarter load shows a quarter of the batch: what is promised is less."""
    errors = _errors([o for o in steady if o.load < 0.5])
    assert len(errors) == 3
    assert errors[1] <= 0.12
    assert errors[-1] <= 0.28


def test_a_mixture_of_unknown_name_is_within_a_fifth_throughout_and_a_ninth_but_for_one_from_half_load_on(
    outcomes: list[PhaseOutcome],
) -> None:
    """Under a name that tells nothing, and before it was ever full.

    Ten percent from half load on is what is aimed at. One of the four phases misses it by 7 points: that engine's steps
    beyond 49 sequences are longer than the curve up to there goes on, and its interval says so.
    """
    mixed = [o for o in outcomes if o.kind == "const" and not o.whole and o.recording in MIXTURES]
    errors = {load: _errors([o for o in mixed if o.load == load]) for load in (0.25, 0.5, 0.75)}
    assert [len(found) for found in errors.values()] == [2, 2, 2]
    assert errors[0.25][-1] <= 0.2
    *others, worst = sorted(errors[0.5] + errors[0.75])
    assert others[-1] <= 0.11
    assert worst <= 0.17


def test_the_interval_holds_the_truth_and_is_of_use(outcomes: list[PhaseOutcome]) -> None:
    """The 90% interval covers the measured rate at the steady loads; from half load on it reaches no 36% above μ.

    At 90% three of thirty may miss by chance; one does, by a hundredth, and the rates themselves are good to 7%. A
    wider interval could not tell a half-full engine from a full one; a quarter load does not show yet how the step time
    of an unknown model goes on.
    """
    steady = [o for o in outcomes if o.kind == "const"]
    assert len(steady) == 30
    for o in steady:
        assert o.lower is not None
        assert o.upper is not None
        assert o.rate is not None
        assert o.lower < o.rate < o.upper, o
        assert o.load < 0.5 or o.upper <= 1.36 * o.rate, o
    missed = [o for o in steady if not o.covered]
    assert len(missed) <= 3
    assert all(o.lower <= 1.02 * o.truth and o.upper >= 0.98 * o.truth for o in missed)  # type: ignore[operator]


def test_the_limit_that_binds_is_named_at_every_load(outcomes: list[PhaseOutcome]) -> None:
    """Memory in three of them and seats in the fourth, a quarter full as well as saturated."""
    assert all(o.limit in o.true_limits for o in outcomes)


def test_the_plain_formula_is_several_times_as_wrong(steady: list[PhaseOutcome]) -> None:
    """With today's step time the paper's μ is too high by more than a third throughout: a baseline worth beating."""
    assert all(o.plain_error is not None and o.plain_error > 0.33 for o in steady)


def test_the_committed_figures_are_those_of_this_code(outcomes: list[PhaseOutcome]) -> None:
    """``python -m bench.accuracy --only recordings`` and ``python -m bench.publish`` bring them up to date."""
    committed = results.load().recordings
    for now, then in zip(outcomes, committed, strict=True):
        assert _rounded(now) == _approximately(then), f"{now.recording} {now.kind} {now.load} {now.whole}"


def _rounded(outcome: PhaseOutcome) -> dict[str, Any]:
    return asdict(outcome) | {"true_limits": list(outcome.true_limits)}


def _approximately(outcome: PhaseOutcome) -> dict[str, Any]:
    row = _rounded(outcome)
    return {k: pytest.approx(v, rel=_ROUNDING) if isinstance(v, (float, dict)) else v for k, v in row.items()}
