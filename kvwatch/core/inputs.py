"""Which of the metrics that an estimate rests on have stopped coming, while the scrapes go on?

An estimate is as old as its oldest input. A server, or something between it and kvwatch, may leave out a metric that it
has shown before, show what is no number, or show one number for ever; the windows that it feeds then stand still, and
would go on to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.core.cause import Cause
from kvwatch.core.frozen import FROZEN_INTERVALS
from kvwatch.core.interval import Interval

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
TOKENS = {"prompt": ("prompt_tokens",), "output": ("generation_tokens",)}
"""What each kind of tokens is counted by."""
USAGE = ("kv_usage_ratio",)
"""What shows how much memory requests hold. It may pause, as what was learnt from it stays."""
LATENCY = ("inter_token_count", "inter_token_seconds_sum")
"""What shows the batch of a step and how long it takes. It may pause, as what was learnt from it stays."""
_FIELDS = tuple(dict.fromkeys((*ARRIVALS, *STEPS, *QUEUE, *SERVICE, *USAGE, *LATENCY)))


class Inputs:
    """When each field of an engine's samples was last shown and moving; one that never was is not waited for."""

    def __init__(self) -> None:
        self._shown_at: dict[str, float] = {}

    def update(self, interval: Interval) -> None:
        """Take an interval: what counts is the sample at its end."""
        sample, at = interval.sample, interval.end
        frozen = {name for name, missed in interval.standing.items() if missed >= FROZEN_INTERVALS}
        for name in _FIELDS:
            # a field that is frozen when it is first seen here, after a restart, is as old as that
            if getattr(sample, name) is not None and (name not in frozen or name not in self._shown_at):
                self._shown_at[name] = at

    def begin_anew(self, cause: Cause) -> None:
        """A server that restarts may be of another version, with other metrics."""
        if cause is Cause.RESTART:
            self._shown_at.clear()

    def get(self, now: float) -> dict[str, float]:
        """How long ago each field was shown that ever was [s]."""
        return {name: now - at for name, at in self._shown_at.items()}


def is_gone(ages_seconds: Mapping[str, float], names: tuple[str, ...], longest_seconds: float) -> bool:
    """Whether one of these fields was shown before, and not within the last ``longest_seconds``."""
    return any(ages_seconds.get(name, 0.0) > longest_seconds for name in names)
