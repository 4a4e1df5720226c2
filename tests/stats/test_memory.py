"""No streaming estimator of the package grows with what it is fed."""

from __future__ import annotations

import pytest

from tests.reflection import size_bytes
from tests.stats.estimators import TAKERS, fed, made


@pytest.mark.long
@pytest.mark.parametrize("estimator", TAKERS, ids=lambda c: c.__name__)
def test_memory_is_bounded(estimator: type) -> None:
    """Ten times as many observations, a hundred thousand, take no more than a quarter more memory.

    What grows with the number of observations takes ten times as much; ADWIN, with their logarithm, an eighth more.
    """
    new = made(estimator, 10_000)
    small = size_bytes(new)
    fed(new, range(10_000, 100_000), seed=1)
    assert size_bytes(new) <= 1.25 * small
