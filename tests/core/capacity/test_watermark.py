"""An admission watermark that a server runs with is in the engine that μ and the advice on seats come from."""

from __future__ import annotations

import random

import numpy as np

from kvwatch.core.capacity.correction import FullEngineRun
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.eviction.seat_search import WATERMARK_RATIO, PrescriptionRun
from kvwatch.core.traffic.mix import Mix
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.stats.group_moments import PairMoments
from tests.core.capacity.evidence import FlatLaw


class SureLaw(FlatLaw):
    """A law of which the ratio of two steps is sure."""

    def ratio_deviation(self, *_: object) -> float:
        """None."""
        return 0.0


def memory_bound(watermark_ratio: float) -> FullEngineInputs:
    """Requests of many lengths beside seats for far more than memory holds."""
    source = random.Random(3)
    s = np.array([source.randint(50, 150) for _ in range(400)], float)
    o = np.array([source.randint(100, 500) for _ in range(400)], float)
    held = float((o * (s + o / 2)).mean())
    covariance = np.cov(s, o)
    moments = PairMoments(400, 40, s.mean(), o.mean(), covariance[0, 0], covariance[1, 1], covariance[0, 1])
    demand = DemandEstimates({"moments": held, "occupancy": held}, 400, moments, o.mean(), s.mean() + o.mean(), 0.0, 20)
    mix = Mix(demand, s, o, 0, held, 0.0, 0.0)
    return FullEngineInputs(mix, SureLaw(), 8_000.0, 16, 256, 2048, 4096, watermark_ratio)  # type: ignore[arg-type]


def test_the_embedded_engine_leaves_as_much_free() -> None:
    """It evicts less for it, and so another rate comes of it."""
    without, beside = (FullEngineRun(memory_bound(ratio)).run() for ratio in (0.0, 0.05))
    assert without is not None
    assert beside is not None
    assert (beside.saturation.preemptions_per_finished or 0.0) < 0.5 * (
        without.saturation.preemptions_per_finished or 0
    )
    assert beside.factor != without.factor


def test_a_watermark_that_is_there_is_not_advised_again() -> None:
    """What it would gain is measured beside what the server has already."""
    bare, marked = (PrescriptionRun(memory_bound(ratio), None).run() for ratio in (0.0, WATERMARK_RATIO))
    assert bare is not None
    assert marked is not None
    assert bare.watermark_gain_ratio != 0
    assert marked.watermark_gain_ratio == 0
