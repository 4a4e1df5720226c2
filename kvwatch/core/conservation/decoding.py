"""How many requests decode, by three counts of the same batch, and how much each may be off."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from kvwatch.core.conservation.sums import Flow, Sums

_PAUSE_DEVIATIONS = 3.0
"""Standard errors that the time in which requests run may be off, as scrapes show it [1]. Choice: they are taken as
independent, and are not where requests last longer than the time between two scrapes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How many requests decode, three ways [requests].

    Attributes:
        by_time: The time that tokens took over the time that passed.
        bounded: The same, in which no single interval counts for more than it can be.
        by_steps: Tokens after the first over steps, in the intervals in which a step ended.
        by_gauge: Requests that run in these, those whose prompts are computed too: a gauge may be stale in the others.
        held: Requests that run, or are evicted.
        prefilling: Those whose prompts are computed, as it is counted when they finish; ``None`` where it is not shown.
        stepped: Share of the time that these intervals are [ratio].
        running: Requests that run, over all the time.
        starting: Those that have no token yet, from their arrival on; ``None`` where it is not shown.
        busy: Share of the time in which requests run [ratio].
        stepping: The same, as steps would fill it that take as long as the time between two tokens.
        scrapes: Intervals that it rests on.
    """

    by_time: float
    bounded: float
    by_steps: float
    by_gauge: float
    held: float
    prefilling: float | None
    stepped: float
    running: float
    starting: float | None
    busy: float
    stepping: float
    scrapes: int

    @property
    def paused_error(self) -> float:
        """How far :attr:`busy` may be off, as a share of it [ratio]."""
        seen = self.busy * self.scrapes
        return _PAUSE_DEVIATIONS * sqrt((1 - self.busy) / seen) if seen else inf

    @property
    def gauge_factor(self) -> float | None:
        """How many times as many requests run as have begun and not finished by their latencies [1]."""
        if self.starting is None or not self.by_time + self.starting:
            return None
        return self.running / (self.by_time + self.starting)

    @property
    def pause_factor(self) -> float | None:
        """How many times as long requests run, apart from their prompts, as steps take that are counted [1]."""
        if self.starting is None or not self.stepping:
            return None
        return (self.busy * (1 - min(self.paused_error, 1.0)) - self.starting) / self.stepping


def decoding(sums: Flow, more: Sums) -> Batch | None:
    """The counts by sums that are known, and ``more`` that may not be; ``None`` where no step has ended."""
    prefill, seconds, stepped = more.get("prefill_seconds_sum"), sums["seconds"], sums["stepped_seconds"]
    starting = more.get("first_token_seconds")
    if not stepped:
        return None
    return Batch(
        by_time=sums["inter_token_seconds_sum"] / seconds,
        bounded=sums["bounded_seconds"] / seconds,
        by_steps=sums["batch_seconds"] / stepped,
        by_gauge=sums["running_stepped_seconds"] / stepped,
        held=sums["held_seconds"] / seconds,
        prefilling=prefill / seconds if prefill is not None else None,
        stepped=stepped / seconds,
        running=sums["running_seconds"] / seconds,
        starting=starting / seconds if starting is not None else None,
        busy=sums["busy_seconds"] / seconds,
        stepping=sums["step_seconds"] / seconds,
        scrapes=more.intervals,
    )
