"""Feeds the step law: with intervals, or with the server's own log of its steps while there is one."""

from __future__ import annotations

from kvwatch.core.cause import Cause
from kvwatch.core.interval import Interval
from kvwatch.core.steps.iterations import IterationRows
from kvwatch.core.steps.model_experts import expert_ratio
from kvwatch.core.steps.step_law import StepLawMemory
from kvwatch.facts import Iteration
from kvwatch.stats.level_rates import Level
from kvwatch.stats.step_law_fit import LawFit


class StepLawLearner:
    """The step law b(n, p, K) of one engine, and the two sources that teach it."""

    def __init__(self) -> None:
        self._law = StepLawMemory()
        self._iterations = IterationRows()
        self._kv_tokens: float | None = None
        self._kv_usage_ratio: float | None = None

    def update(self, interval: Interval) -> None:
        """Take an interval; while the log tells of the same steps one by one, it is only held against the law."""
        self._kv_tokens, self._kv_usage_ratio = interval.kv_tokens, interval.sample.kv_usage_ratio
        configured = interval.settings.expert_ratio
        self._law.describe(expert_ratio(interval.sample.key.model_name) if configured is None else configured)
        if interval.goes_on:
            self._law.update(interval, watch_only=self._iterations.alive(interval.end))

    def update_iteration(self, step: Iteration) -> None:
        """Take a step of the server's iteration log."""
        row = self._iterations.update(step, self._kv_tokens, self._kv_usage_ratio)
        if row is not None:
            self._law.learn(step.at, row)

    def begin_anew(self, cause: Cause) -> None:
        """A new process may run on other hardware."""
        if cause is Cause.RESTART:
            self._law.doubt()
        elif cause in (Cause.CAPACITY, Cause.REFUTED):  # memory, batch or time of the steps were counted wrongly
            self._law = StepLawMemory()

    def expect(self, full_load: tuple[float, float, float]) -> None:
        """Say at which (n, p, K) the law will be evaluated; see :meth:`StepLawMemory.expect`."""
        self._law.expect(full_load)

    def get(self, _now: float) -> LawFit | None:
        """The law; ``None`` until enough busy intervals were seen."""
        return self._law.get()

    def levels(self) -> tuple[Level, ...]:
        """Mean steps by their number of sequences, as they were seen; tokens are whole ones, whatever the unit."""
        return self._law.levels()

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return self._law.dump()

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        self._law.restore(state)
