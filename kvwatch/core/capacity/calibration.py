"""What overloads have taught: by how much the truth differed from the model, believed in part."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

_HALF_LIFE_SECONDS = 6 * 3600.0
_TRUST = 0.5
"""Largest part of an observed gap that outlives the overload: its traffic may have been odd."""
_MOST = log(1.25)
"""Largest correction that outlives the overload: a gap beyond it means something else than a scale."""
_TAU_SECONDS = 60.0
"""An overload has to last so long to count by two thirds."""


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """Logarithm of the correction and when it was last learnt [unix s]."""

    log_factor: float = 0.0
    at: float = 0.0


class Calibration:
    """A factor on the model's μ, learnt while requests wait, and forgotten with a half-life of hours."""

    def __init__(self) -> None:
        self._state = CalibrationState()

    def learn(self, at: float, seconds: float, model_rate: float, observed_rate: float) -> None:
        """During ``seconds`` of backlog the model said one rate, and another was observed [requests/s]."""
        target = _TRUST * log(observed_rate / model_rate)
        target = min(max(target, -_MOST), _MOST)
        old = log(self.factor(at))
        weight = 1 - exp(-seconds / _TAU_SECONDS)
        self._state = CalibrationState(old + weight * (target - old), at)

    def factor(self, now: float) -> float:
        """What the model's μ is multiplied by."""
        age = max(now - self._state.at, 0.0)
        return exp(self._state.log_factor * 0.5 ** (age / _HALF_LIFE_SECONDS))

    def dump(self) -> dict[str, object]:
        """State as plain numbers."""
        return {"log_factor": self._state.log_factor, "at": self._state.at}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        factor, at = float(state["log_factor"]), float(state["at"])  # type: ignore[arg-type]
        if not abs(factor) <= _MOST or not 0 <= at < 1e12:
            raise ValueError("calibration out of range")
        self._state = CalibrationState(factor, at)
