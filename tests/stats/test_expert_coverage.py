"""What share of the experts a step reads: worked out by hand, and on a grid without a hole."""

from __future__ import annotations

import numpy as np
import pytest

from kvwatch.stats.expert_coverage import SHAPES, coverage, tangents


@pytest.mark.parametrize(
    ("tokens", "shape", "share"), [(0.0, 0.1, 0.0), (1.0, 0.1, 0.1), (2.0, 0.5, 0.75), (3.0, 0.5, 0.875), (9, 0.0, 0.0)]
)
def test_each_token_reads_its_share_of_what_the_others_left(tokens: float, shape: float, share: float) -> None:
    """1 − (1 − x)^m; nothing in a dense model."""
    assert coverage(tokens, shape) == pytest.approx(share)


@pytest.mark.parametrize("ratio", [8 / 128, 1 / 128, 8 / 256, 4 / 64, 2 / 8, 8 / 160])
def test_the_grid_has_each_published_model_within_a_factor_of_one_and_a_half(ratio: float) -> None:
    """Its shapes are a factor of two apart, from Maverick to Mixtral."""
    assert SHAPES[1:] / SHAPES[:-1] == pytest.approx([2.0] * (len(SHAPES) - 1), rel=0.05)
    assert np.abs(np.log(SHAPES / ratio)).min() < np.log(1.5)


def test_a_tangent_touches_the_coverage_and_has_its_slope() -> None:
    """At each load level and for each shape."""
    levels, step = np.array([1.0, 10.0, 100.0]), 1e-4
    level, slope = tangents(levels, SHAPES)
    for i, tokens in enumerate(levels):
        for j, shape in enumerate(SHAPES):
            assert level[i, j] + slope[i, j] * tokens == pytest.approx(coverage(tokens, shape))
            rise = (coverage(tokens + step, shape) - coverage(tokens - step, shape)) / (2 * step)
            assert slope[i, j] == pytest.approx(rise, rel=1e-5, abs=1e-12)
