"""What is to be worked out in the background for an engine, and what comes of it."""

from __future__ import annotations

from kvwatch.core.capacity.full_engine import Correction, FullEngineRun
from kvwatch.core.eviction.seat_search import Prescription, PrescriptionRun

ModelRun = FullEngineRun | PrescriptionRun
"""Ready to be made anywhere: pure, seeded, some CPU."""
ModelResult = Correction | Prescription | None
"""``None`` where the engine at full load is not known."""
