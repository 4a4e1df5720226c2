"""The step law of one engine: what its intervals teach, guarded against outliers, and against a change of hardware."""

from __future__ import annotations

from collections import deque
from math import exp, log
from statistics import median

from kvwatch.core.interval import Interval
from kvwatch.stats.change import ChangeDetector
from kvwatch.stats.step_regression import LawFit, StepRegression

_FIT_EVERY = 10
"""Intervals between two fits."""
_LEAST, _LONGEST_WAIT_SECONDS = 8, 60.0
"""With rare scrapes the first fit makes do with fewer intervals once they span a minute."""
_OUTLIER = 6.0
"""Residuals beyond so many typical ones are pauses of the host, not steps."""
_KEEP_AFTER_CHANGE = 0.2
"""Weight of what was learnt before a change of speed: its shape stays until the new data has one."""
_FAMILIAR_INTERVALS = 10.0
"""A load level seen for so many intervals can tell a change of the hardware from a gap in the law."""


class StepLawMemory:
    """Learns b(n, p, K) from busy intervals without preemptions, in which the counters show all that was computed."""

    def __init__(self, regression: StepRegression | None = None) -> None:
        self._regression = regression or StepRegression()
        self._full_load = (64.0, 64.0, 1e5)
        self._fit: LawFit | None = None
        self._since_fit = 0
        self._early: list[tuple[tuple[float, float, float], float, float]] = []
        self._residuals: deque[float] = deque(maxlen=120)
        self._change = ChangeDetector(1e-4)
        self.changes = 0

    def update(self, interval: Interval, step_seconds: float | None, kv_tokens: float | None) -> None:
        """Take an interval and its mean step time [s]; one that teaches nothing is passed over."""
        composition = _composition(interval, step_seconds, kv_tokens)
        if composition is None or step_seconds is None:
            return
        if self._fit is None:
            self._early.append((composition, step_seconds, interval.end))
            lasted = interval.end - self._early[0][2]
            if len(self._early) >= 2 * _FIT_EVERY or (len(self._early) >= _LEAST and lasted >= _LONGEST_WAIT_SECONDS):
                self._start()
            return
        residual = log(step_seconds / self._fit.seconds(composition))
        typical = max(median(abs(r) for r in self._residuals) * 1.5, 0.005) if self._residuals else 0.05
        if self._regression.known_weight(composition) >= _FAMILIAR_INTERVALS:
            self._watch(residual, typical)
        self._residuals.append(residual)
        if abs(residual) <= _OUTLIER * typical:
            self._regression.update(composition, step_seconds, min(1.0, 2 * typical / max(abs(residual), 1e-9)))
        self._since_fit += 1
        if self._since_fit >= _FIT_EVERY:
            self.refit()

    def _start(self) -> None:
        """First fit: the early intervals, without those that the fit itself shows to be outliers."""
        seconds = median(s for _, s, _ in self._early)
        for composition, step, _ in self._early:
            self._regression.update(composition, step, min(1.0, seconds / step) ** 2)
        self._early.clear()
        self.refit()

    def _watch(self, residual: float, typical: float) -> None:
        """Rescale the law when the step time at familiar loads has changed for good."""
        # a single pause must not look like a change: what is fed is cut to what steps can do
        if not self._change.update(min(max(residual, -20 * typical), 20 * typical)):
            return
        recent = list(self._residuals)[-8:]
        shift = median(recent) if recent else 0.0
        if abs(shift) > max(4 * typical, 0.05) or abs(shift) > 0.15:
            self._regression.scale_time(exp(shift), _KEEP_AFTER_CHANGE)
            self._residuals.clear()
            self._change = ChangeDetector(1e-4)
            self.changes += 1
            self.refit()

    def expect(self, full_load: tuple[float, float, float]) -> None:
        """Say at which (n, p, K) the law will be evaluated: there its prior is stated."""
        if max(abs(a - b) / max(b, 1e-9) for a, b in zip(full_load, self._full_load, strict=True)) > 0.1:
            self._full_load = full_load
            self.refit()

    def refit(self) -> None:
        """Fit anew."""
        self._fit = self._regression.fit(self._full_load)
        self._since_fit = 0

    def get(self) -> LawFit | None:
        """The law; ``None`` until enough busy intervals were seen."""
        return self._fit

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return self._regression.dump()

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        self._regression = StepRegression.load(state)
        self._early.clear()
        self.refit()


def _composition(
    interval: Interval, step_seconds: float | None, kv_tokens: float | None
) -> tuple[float, float, float] | None:
    """Mean (n, p, K) of the interval's steps; ``None`` where the counters do not show all that was computed.

    A preempted request's recomputation is in no counter, so intervals with preemptions teach nothing.
    """
    usage0, usage1 = interval.kv_usage_ratio
    if (
        not step_seconds
        or not interval.steps
        or interval.steps < 3
        or interval.preemptions
        or not all(interval.running)
        or interval.inter_tokens is None
        or kv_tokens is None
        or usage0 is None
        or usage1 is None
    ):
        return None
    computed = interval.prompt_tokens_computed
    if computed is None:
        computed = interval.prompt_tokens or 0.0
    # several API servers count the same step: no engine makes more steps than fit into the interval
    steps = min(interval.steps, interval.seconds / step_seconds)
    return interval.inter_tokens / steps, computed / steps, (usage0 + usage1) / 2 * kv_tokens
