"""Engine steps one by one, from vLLM's iteration log, as rows for the step law.

The log has the exact composition of each step, but its time leaves out what happens between two steps. That is made up
by a factor: the time that passed while the engine was busy over the time that its steps say. The engine was busy
between two steps when the second goes on with a request; such stretches follow each other, so stamps of whole seconds
cost no accuracy in the long run.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.steps.mean_step import StepRow
from kvwatch.core.steps.step_rows import LONGEST_STEP_SECONDS
from kvwatch.facts import Iteration

_GROUP_SECONDS = 1.0
"""Engine time that one row of the iteration log stands for [s]. Choice: about a scrape interval, so that a log does not
drown the other rows."""
_ENOUGH_SECONDS = 20.0
"""Engine time from which on the log's overhead is known [s]. Choice: stamps are cut to whole seconds, an error of at
most a twentieth then, which goes on shrinking."""
_MEMORY_SECONDS = 600.0
"""How long that overhead is remembered [s]. Choice: it depends on the host's load, which moves over minutes; stamps of
whole seconds need minutes to average out."""
_MOST_OVERHEAD = 5.0
"""Largest time of a step over what the log says of it [1]. Choice: on a CPU the gap between steps is below a step's own
time; a factor beyond five means lost lines."""
_INTERVALS_PER_ROW = 1.0
"""Scrape intervals that such a row says as much as [intervals]. Choice: it holds about a second of steps, as a row of a
scrape interval does."""
_ALIVE_SECONDS = 60.0
"""Silence after which the iteration log no longer counts as connected [s]. Choice: an idle engine logs nothing, and
then has no rows to lose; a minute more and its law would stand still when a log is turned off."""


@dataclass(slots=True)
class _Group:
    """Sums over some steps of one kind."""

    steps: int = 0
    seconds: float = 0.0
    decoding: float = 0.0
    prefill: float = 0.0
    resident: float = 0.0


class IterationRows:
    """Turns iterations into mean steps; keeps a dozen numbers."""

    def __init__(self) -> None:
        self._last: Iteration | None = None
        self._passed = 0.0
        self._computed = 0.0
        self._groups: dict[bool, _Group] = {}

    def alive(self, now: float) -> bool:
        """Whether the log has shown a step lately, and enough to make rows of them."""
        return self._last is not None and now - self._last.at <= _ALIVE_SECONDS and self.overhead is not None

    @property
    def overhead(self) -> float | None:
        """Time that a step takes over the time that the log says; ``None`` until enough was seen."""
        if self._passed < _ENOUGH_SECONDS or self._computed <= 0:
            return None
        return min(max(self._passed / self._computed, 1.0), _MOST_OVERHEAD)

    def update(self, step: Iteration, kv_tokens: float | None, kv_usage_ratio: float | None) -> StepRow | None:
        """Take the next step; the mean of those of its kind where there are enough by now.

        ``kv_tokens`` is M, ``kv_usage_ratio`` the newest known use of it, for logs that do not show it. A step that
        comes again or out of order is passed over.
        """
        last = self._last
        if last is not None and step.index <= last.index and step.at <= last.at:
            return None
        self._last = step
        if last is None or step.index != last.index + 1 or step.at < last.at:
            return None  # lines were lost, or the engine started again
        busy = step.generation_requests > 0
        passed = step.at - last.at
        if busy and step.elapsed_seconds >= 0 and passed <= LONGEST_STEP_SECONDS:
            forget = 1 - min(step.elapsed_seconds / _MEMORY_SECONDS, 1.0)
            self._passed = self._passed * forget + passed
            self._computed = self._computed * forget + step.elapsed_seconds
        usage = step.kv_usage_ratio if step.kv_usage_ratio is not None else kv_usage_ratio
        overhead = self.overhead
        if kv_tokens is None or usage is None or overhead is None or step.elapsed_seconds <= 0:
            return None
        group = self._groups.setdefault(step.context_tokens > 0, _Group())
        group.steps += 1
        group.seconds += step.elapsed_seconds * overhead
        group.decoding += step.generation_requests
        group.prefill += step.context_tokens
        group.resident += usage * kv_tokens
        if group.seconds < _GROUP_SECONDS:
            return None
        self._groups[step.context_tokens > 0] = _Group()
        share = float(step.context_tokens > 0)  # a group is of steps with prompt tokens, or of steps without
        mean = (group.decoding / group.steps, group.prefill / group.steps, group.resident / group.steps, share)
        return StepRow(mean, group.seconds / group.steps, _INTERVALS_PER_ROW)
