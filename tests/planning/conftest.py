"""A made-up plan of which every number is known."""

from __future__ import annotations

import pytest

from kvwatch.embedded.latency_curve import LOADS, Point, Slo
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.planning.changes import Change
from kvwatch.planning.engine import Basis, Known, PlannedEngine
from kvwatch.planning.plan import Plan, Studied, Wanted, planned
from tests.planning.test_paper import Steady

BASIS = (
    Basis("model", "8.0 billion weights & <more>", Known.DATA_SHEET),
    Basis("traffic", "1000 requests of trace.csv", Known.MEASURED),
    Basis("step time", "as kernels usually reach", Known.ASSUMED),
)


def latencies(load: float) -> Point:
    """Latencies that grow with what is left of an engine: the median, the 95th and the 99th percentile [s]."""
    wait = tuple(at * 0.02 / (1 - load) for at in (0.5, 1.0, 2.0))
    return Point(load, wait, tuple(at + 0.1 for at in wait), (0.02, 0.03, 0.05), 40 * load)


@pytest.fixture
def plan() -> Plan:
    """Two loads and a latency target that is met up to about 80%; changes to both sides."""
    settings = SchedulerSettings.from_capacity(100_000, max_num_seqs=64, max_num_batched_tokens=2048)
    engine = PlannedEngine((RequestShape(300, 100),), settings, Steady(0.02), 1.0, 0.55, 1.5, BASIS)
    studied = Studied(
        engine,
        engine.full(),
        tuple(map(latencies, LOADS)),
        (Change("--max-num-seqs 128", 0.31), Change("--max-num-batched-tokens 4096 <b>", 0.02)),
        (Change("outputs a fifth longer", -0.16),),
    )
    return planned(studied, Wanted((100.0, 250.0), 0.9, Slo(first_token_seconds=0.2)))
