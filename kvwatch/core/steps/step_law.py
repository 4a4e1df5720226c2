"""The step law of one engine: what its intervals teach, guarded against outliers, and against a change of hardware."""

from __future__ import annotations

from math import exp, log

from kvwatch.constants import DAY_SECONDS, HOUR_SECONDS, TINY
from kvwatch.core.interval import Interval
from kvwatch.core.steps.changed_speed import Held, SpeedWatch
from kvwatch.core.steps.first_rows import FirstRows
from kvwatch.core.steps.mean_step import StepRow
from kvwatch.core.steps.step_rows import StepRows
from kvwatch.core.steps.usual_residual import UsualResidual
from kvwatch.stats.level_rates import Level
from kvwatch.stats.step_law_fit import LawFit
from kvwatch.stats.step_regression import StepRegression

_NEWS_RATIO = 0.1
"""Share of new rows from which on the law is fitted again [1]. Choice: a law moves ever slower; a tenth of news moves
it by less than its own deviation."""
_FIT_SECONDS = 60.0
"""How old a law may be while there are new rows [s]. Choice: a minute, that of the shortest λ; a fit takes some
milliseconds."""
_OUTLIER = 6.0
"""Residual over a typical one beyond which a row is dropped [1]. Choice: such rows are pauses of the host, not steps;
half would drop steps of an odd batch."""
_KEEP_AFTER_CHANGE = 0.2
"""Weight kept of what was learnt before a change of speed [1]. Choice: the law keeps its shape until the new data has
one of its own, and a fifth is outvoted within minutes."""
_STRANGE_INTERVALS = 3.0
"""Intervals at a load level below which an odd row is believed [intervals]. Choice: of fewer there is no usual to be
odd against."""
_HALF_LIFE_SECONDS = 7 * DAY_SECONDS
"""Half-life of a load level that does not come again [s]. Choice: drivers, clocks and neighbours change over weeks; a
level that comes every week keeps half."""
_FADE_EVERY_SECONDS = HOUR_SECONDS
"""How often that is applied [s]. Choice: a half-life of a week moves by 0.4% in an hour."""
_ORDINARY_FULL_LOAD = (64.0, 64.0, 1e5)
"""Sequences, prompt tokens and resident tokens of a full step at which the prior is stated until a run of the embedded
engine says better [1]. Choice: an engine of middling size; the prior's spread covers the others."""
_FULL_LOAD_MOVED_RATIO = 0.1
"""Relative change of the full step from which on the law is fitted again [1]. Choice: the prior's spread is many times
as wide."""


class StepLawMemory:
    """Learns b(n, p, K) from busy intervals without preemptions, in which the counters show all that was computed."""

    def __init__(self, regression: StepRegression | None = None) -> None:
        self._regression = regression or StepRegression()
        self._full_load = _ORDINARY_FULL_LOAD
        self._fit: LawFit | None = None
        self._since_fit = self._rows = 0
        self._first = FirstRows()
        self._intervals = StepRows()
        self._fitted_at = float("-inf")
        self._residuals = UsualResidual()
        self._speed = SpeedWatch()
        self._faded_at: float | None = None

    def update(self, interval: Interval, *, watch_only: bool = False) -> None:
        """Take an interval; it may teach nothing.

        With ``watch_only`` it does not, as :meth:`learn` takes the same steps one by one.
        """
        self._fade(interval.end)
        rows = self._intervals.add(interval)
        if self._fit is None and not watch_only:
            self._start(interval.end, rows)
            return
        for row in rows:
            self._take(row, watch_only=watch_only)
        if not watch_only:
            self._refit_in_time(interval.end)

    def _take(self, row: StepRow, *, watch_only: bool) -> None:
        """Hold a row against the law, and learn from it."""
        held = self._hold(row)
        shift = self._speed.update(held) if held is not None else None
        if shift is not None:
            self._regression.scale_time(exp(shift), _KEEP_AFTER_CHANGE)
            self._residuals = UsualResidual()
            self._rows = 0
            self.refit()
            held = self._hold(row)  # the law is another one
        if not watch_only:
            self._learn(row, held)
            self._count_row()

    def learn(self, at: float, row: StepRow) -> None:
        """Take a row whose composition and time are known for each of its steps."""
        self._fade(at)
        if self._fit is None:
            self._start(at, [row])
            return
        self._learn(row, self._hold(row))
        self._count_row()
        self._refit_in_time(at)

    def _hold(self, row: StepRow) -> Held | None:
        """The row against the law and against its like; ``None`` before there is a law."""
        if self._fit is None:
            return None
        weight = self._regression.known_weight(row.composition)
        usual = self._regression.misfit(row.composition, self._fit)
        return Held(log(row.seconds / self._fit.seconds(row.composition)), usual, weight)

    def _count_row(self) -> None:
        self._since_fit += 1
        self._rows += 1

    def _refit_in_time(self, at: float) -> None:
        """Fit again where there are enough new rows, or some and the last fit is a minute old."""
        if self._since_fit and (self._since_fit >= _NEWS_RATIO * self._rows or at - self._fitted_at >= _FIT_SECONDS):
            self._fitted_at = at
            self.refit()

    def _start(self, at: float, rows: list[StepRow]) -> None:
        """Fit for the first time once there are enough rows."""
        first = self._first.add(at, rows)
        for row, weight in first:
            self._regression.update(row.composition, row.seconds, weight)
        if first:
            self._rows = len(first)
            self.refit()

    def _learn(self, row: StepRow, held: Held | None) -> None:
        """Add a row, with less weight the less it resembles those seen at such a load.

        It is held against them and not against the law, which may fit there badly.
        """
        weight = row.intervals
        if held is not None and held.known_intervals >= _STRANGE_INTERVALS:
            residual = held.misfit - held.usual
            typical = self._residuals.typical
            self._residuals.append(residual)
            weight *= min(1.0, 2 * typical / max(abs(residual), TINY)) if abs(residual) <= _OUTLIER * typical else 0.0
        if weight:
            self._regression.update(row.composition, row.seconds, weight)

    def doubt(self) -> None:
        """The server is a new process, or what is known comes from a file: its hardware may be another one."""
        self._speed.doubt()

    def _fade(self, at: float) -> None:
        """Forget slowly what is not seen again, the time without a server or a watcher included."""
        passed = at - self._faded_at if self._faded_at is not None else 0.0
        if self._faded_at is None or passed >= _FADE_EVERY_SECONDS:
            self._faded_at = at
            self._regression.fade(0.5 ** (max(passed, 0.0) / _HALF_LIFE_SECONDS))

    def describe(self, expert_ratio: float | None) -> None:
        """Say what the model is: k/E of its experts, 0 for a dense one, ``None`` where nobody knows."""
        if expert_ratio != self._regression.expert_ratio:
            self._regression.expert_ratio = expert_ratio
            self.refit()

    def expect(self, full_load: tuple[float, float, float]) -> None:
        """Say at which (n, p, K) the law will be evaluated: there its prior is stated."""
        if (
            max(abs(a - b) / max(b, TINY) for a, b in zip(full_load, self._full_load, strict=True))
            > _FULL_LOAD_MOVED_RATIO
        ):
            self._full_load = full_load
            self.refit()

    def refit(self) -> None:
        """Fit to all that is known now."""
        self._fit = self._regression.fit(self._full_load)
        self._since_fit = 0

    def get(self) -> LawFit | None:
        """The law; ``None`` until enough busy intervals were seen."""
        return self._fit

    def levels(self) -> tuple[Level, ...]:
        """Mean steps by their number of sequences, as they were seen."""
        return self._regression.levels()

    def dump(self) -> dict[str, object]:
        """What is worth keeping over a restart."""
        return {**self._regression.dump(), "at": self._faded_at}

    def restore(self, state: dict[str, object]) -> None:
        """Take up a dumped state. Raises ValueError, KeyError or TypeError for one that cannot be."""
        at = state.get("at")
        if at is not None and not isinstance(at, int | float):
            raise TypeError("at must be a time")
        known, self._regression = self._regression.expert_ratio, StepRegression.load(state)
        self._regression.expert_ratio = known
        self._faded_at = at
        self._first = FirstRows()
        self.refit()
        self.doubt()
        self._rows = round(self._fit.weight) if self._fit is not None else 0
