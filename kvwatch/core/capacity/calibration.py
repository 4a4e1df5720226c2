"""What overloads have taught: by how much the truth differed from the model, believed in part."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

from kvwatch.constants import LATEST_UNIX_SECONDS

_HALF_LIFE_SECONDS = 6 * 3600.0
"""Half-life of a learnt correction [s]. Choice: an overload in the morning still counts by half in the afternoon and by
a sixteenth the next day, when the traffic may be another."""
_TRUST = 0.5
"""Largest part of an observed gap that outlives the overload [1]. Choice: half, as an overload's traffic may be odd
(retries, one tenant's batch) and nothing tells."""
_MOST = log(1.25)
"""Largest logarithm of a correction that outlives the overload [1]. Choice: a gap beyond a quarter means something else
than a scale: wrong settings, requests that wait for something else than capacity."""
_TAU_SECONDS = 60.0
"""How long an overload has to last to count by two thirds [s]. Choice: a minute, some lifetimes of a chat's requests;
half believes single bursts, with double most overloads end before they count."""


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
        if not abs(factor) <= _MOST or not 0 <= at < LATEST_UNIX_SECONDS:
            raise ValueError("calibration out of range")
        self._state = CalibrationState(factor, at)
