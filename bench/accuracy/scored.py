"""What is asked of every case alike, recorded or simulated."""

from __future__ import annotations


class Scored:
    """An estimate with its interval beside the truth; rates in requests/s."""

    __slots__ = ()

    truth: float
    rate: float | None
    lower: float | None
    upper: float | None

    @property
    def error(self) -> float | None:
        """Relative error of μ."""
        return None if self.rate is None else self.rate / self.truth - 1

    @property
    def covered(self) -> bool | None:
        """Whether the 90% interval holds the truth."""
        return None if self.lower is None or self.upper is None else self.lower <= self.truth <= self.upper
