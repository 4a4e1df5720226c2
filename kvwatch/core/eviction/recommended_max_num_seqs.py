"""The max_num_seqs to set: when a search for it is due, what the last one found, and whether it is sure enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.model import CapacityModel
from kvwatch.core.capacity.service_rate import Evidence
from kvwatch.core.eviction.seat_search import LEAST_GAIN_RATIO, Prescription, PrescriptionRun
from kvwatch.estimate import Estimate, Reason

PRESCRIBE_REQUESTS = 100
"""Finished requests from which on the mix is known well enough to recommend settings [requests]. Choice: a mean of g is
then known to a tenth, a few times the least gain worth a restart, and the interval of the gain says the rest."""
_PREEMPTIONS_WORTH_IT = 0.02
"""Evictions for each request at full load below which no better setting is sought [evictions]. Choice: a cap gains at
most about what evictions cost, here a fiftieth of the work, less than is worth a restart."""


class Prescriber:
    """When a search is due for one engine, and what the last one said."""

    def __init__(self, least_seconds: float) -> None:
        self._least = least_seconds
        self._at = float("-inf")
        self.prescription: Prescription | None = None

    def take_due_run(self, now: float, model: CapacityModel) -> PrescriptionRun | None:
        """A search to make now, where it can be made and may gain something."""
        return self.take_due(now, lambda: _evicting(model)) if model.can_prescribe else None

    def take_due(self, now: float, current: Callable[[], FullEngineInputs | None]) -> PrescriptionRun | None:
        """A search to make now, or ``None``. One that was handed out counts as made.

        ``current`` gives the inputs while a search makes sense; without them the last advice no longer stands.
        """
        if now - self._at < self._least:
            return None
        inputs = current()
        self._at = now
        if inputs is None:
            self.prescription = None
            return None
        return PrescriptionRun(inputs, self.prescription.max_num_seqs if self.prescription else None)

    def forget(self) -> None:
        """The settings changed, or the advice no longer applies."""
        self.prescription = None
        self._at = float("-inf")


def _evicting(model: CapacityModel) -> FullEngineInputs | None:
    """The engine at full load, if it would evict there and its traffic is known well."""
    correction, full = model.correction, model.full_load.inputs
    if correction is None or full is None:
        return None
    evicts = (correction.saturation.preemptions_per_finished or 0.0) > _PREEMPTIONS_WORTH_IT
    return full if evicts and full.mix.demand.requests >= PRESCRIBE_REQUESTS else None


def prescribed(prescription: Prescription | None, e: Evidence) -> Prescription | None:
    """The last search's, or where that names no cap one that steps themselves ask for: more at once served less."""
    fall = e.crowding
    if fall is None or e.speculative or (prescription is not None and prescription.max_num_seqs is not None):
        return prescription
    if fall.gain_ratio < LEAST_GAIN_RATIO:
        return prescription
    found = prescription or Prescription()
    if fall.gain_lower <= 0:
        return replace(found, unsure=True)
    return replace(
        found,
        max_num_seqs=max(round(fall.best.sequences), 1),
        gain_ratio=fall.gain_ratio,
        gain_lower=fall.gain_lower,
        unsure=False,
        crowding=fall,
    )


def recommended_max_num_seqs(prescription: Prescription | None, e: Evidence) -> Estimate:
    """The max_num_seqs with the highest throughput [requests]; the verdict says whether a missing one means no gain."""
    if prescription is not None and prescription.crowding is not None:
        return Estimate(prescription.max_num_seqs, verdict=Reason.OK)  # measured: no model has a say in it
    if e.settings.max_num_seqs is None:
        verdict = Reason.SEATS_UNKNOWN
    elif e.speculative:
        verdict = Reason.SPECULATIVE_DECODING
    elif e.correction is None or e.full is None:
        verdict = Reason.DEPENDS
    elif e.full.mix.demand.requests < PRESCRIBE_REQUESTS:
        verdict = Reason.TOO_FEW_REQUESTS
    else:
        verdict = Reason.GAIN_UNSURE if prescription is not None and prescription.unsure else Reason.OK
    return Estimate(prescription.max_num_seqs if prescription is not None else None, verdict=verdict)
