"""Which of the metrics that an estimate rests on have stopped coming, while the scrapes go on?

An estimate is as old as its oldest input. A server, or something between it and kvwatch, may leave out a metric that it
has shown before, or show what is no number; the windows that it feeds then stand still, and would go on to be shown.
"""

from __future__ import annotations

from kvwatch.core.interval import Cause, Interval

ARRIVALS = ("running", "waiting", "finished")
"""What λ is balanced from."""
STEPS = ("steps",)
"""What b̄ is counted by. Latencies stand in for a cadence only where there are steps."""
QUEUE = ("waiting",)
"""What the queue's trend is of."""
SERVICE = (
    *STEPS,
    "running",
    "waiting",
    "finished",
    "prompt_tokens",
    "generation_tokens",
    "request_prompt_tokens",
    "request_generation_tokens",
)
"""What μ is learnt from: the mix of lengths and the law of the steps. M is left out, which never changes."""
_FIELDS = tuple(dict.fromkeys((*ARRIVALS, *STEPS, *QUEUE, *SERVICE)))


class Inputs:
    """When each field of an engine's samples was last shown; one that never was is not waited for."""

    def __init__(self) -> None:
        self._shown_at: dict[str, float] = {}

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the sample at its end."""
        sample, at = interval.sample, interval.end
        for name in _FIELDS:
            if getattr(sample, name) is not None:
                self._shown_at[name] = at

    def begin_anew(self, cause: Cause) -> None:
        """A server that restarts may be of another version, with other metrics."""
        if cause is Cause.RESTART:
            self._shown_at.clear()

    def gone(self, names: tuple[str, ...], now: float, longest_seconds: float) -> bool:
        """Whether one of these fields was shown before, and not within the last ``longest_seconds``."""
        return any(now - self._shown_at.get(name, now) > longest_seconds for name in names)
