"""What is to be worked out in the background for an engine, and what comes of it."""

from __future__ import annotations

from kvwatch.core.capacity.correction import Correction, FullEngineRun
from kvwatch.core.eviction.seat_search import Prescription, PrescriptionRun
from kvwatch.core.latency.curve import Curve, LatencyRun

ModelRun = FullEngineRun | PrescriptionRun | LatencyRun
"""Ready to be made anywhere: pure, seeded, some CPU."""
ModelResult = Correction | Prescription | Curve | None
"""``None`` where the engine at full load is not known."""
