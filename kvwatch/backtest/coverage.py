"""What there was of each server to look at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Coverage:
    """What there was of one server. Times in seconds, unix seconds where they name a moment.

    ``judged_ratio``: share of the views with an engine in which ρ was valid.
    """

    name: str
    interval_seconds: float
    scrapes: int = 0
    failed: int = 0
    restarts: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    gap_count: int = 0
    gap_seconds: float = 0.0
    first: float | None = None
    last: float | None = None
    views: int = 0
    judged: int = 0
    engines: int = 0
    parts: int = 0

    @property
    def judged_ratio(self) -> float | None:
        """Share of the views in which ρ was valid; ``None`` without any."""
        return self.judged / self.views if self.views else None
