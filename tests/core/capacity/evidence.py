"""Evidence about μ whose every part is known, so that what must come of it can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kvwatch.core.capacity.correction import Correction
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.service_rate import Evidence
from kvwatch.core.interval import KvCapacity
from kvwatch.core.steps.step_seconds import StepTime
from kvwatch.core.traffic.mix import Mix
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.embedded.saturation import Saturation
from kvwatch.facts import Settings
from kvwatch.stats.group_moments import PairMoments

PROMPT, OUTPUT, STEPS = 100.0, 50.0, 50.0
"""One kind of request: a chunk that emits the first token, then a step for each token."""
HELD = 5_000.0
"""Memory that it takes [token·steps]: 100 tokens for 50 steps."""
KV_TOKENS, SEATS, BUDGET = 10_000.0, 80, 2048
"""Memory for 100 requests, and seats for 80: seats bind."""
STEP_SECONDS = 0.04
"""Of every step, whatever is in it."""
SEATS_RATE = SEATS / (STEP_SECONDS * STEPS)
"""What the seats serve: 40 requests a second."""


@dataclass(frozen=True)
class FlatLaw:
    """A law of which each step takes as long, with a deviation that is given."""

    seen: tuple[float, float, float] = (1e3, 1e4, 1e6)
    deviation: float = 0.0
    open_deviation: float = 0.0
    largest: float = STEP_SECONDS
    coefficients: tuple[float, float, float, float] = (STEP_SECONDS, 0.0, 0.0, 0.0)

    def seconds(self, _: object) -> float:
        """The step time."""
        return STEP_SECONDS

    def relative_deviation(self, _: object) -> float:
        """How unsure it is."""
        return self.deviation

    def shape_deviation(self, _: object) -> float:
        """How much of that comes of not knowing whether the model is a mixture of experts."""
        return self.open_deviation


def demand(**changes: object) -> DemandEstimates:
    """What is known of the requests."""
    moments = PairMoments(1000, 100, PROMPT, OUTPUT, 0.0, 0.0, 0.0)
    known = DemandEstimates(
        {"moments": HELD, "occupancy": HELD}, 1000, moments, STEPS, PROMPT + OUTPUT - 1, 0.0, SEATS / 2
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def inputs(law: FlatLaw | None = None, *, deviation: float = 0.0, seats: int | None = SEATS) -> FullEngineInputs:
    """The full engine."""
    mix = Mix(demand(), np.full(4, PROMPT), np.full(4, OUTPUT), 0, HELD, deviation, 0.0)
    return FullEngineInputs(mix, law or FlatLaw(), KV_TOKENS, 16, seats, BUDGET, 4096)  # type: ignore[arg-type]


def correction(factor: float, limit: str = "seqs", step_seconds: float = 0.05) -> Correction:
    """What a run of the embedded engine said."""
    run = Saturation(1.0, 80, 79, 160, 0.8, 8e3, step_seconds, 0.0, 0.0, 240, 80, 50, 400, 2000, 100.0)
    return Correction(factor, run, limit)


def evidence(**changes: object) -> Evidence:
    """All of it, with nothing to doubt."""
    known = Evidence(
        full=inputs(),
        correction=correction(1.0),
        calibration=1.0,
        observed=None,
        demand=demand(),
        step_time=StepTime(STEP_SECONDS, STEP_SECONDS, 30),
        kv_capacity=KvCapacity(KV_TOKENS, 16, exact=True),
        settings=Settings(SEATS, BUDGET, 4096, "config"),
        running=40.0,
        speculative=False,
        other_scheduler=False,
        law_known=True,
    )
    return replace(known, **changes)  # type: ignore[arg-type]
