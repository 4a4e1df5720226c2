"""The step law of one engine: what its intervals teach, guarded against outliers, and against a change of hardware."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import exp, log
from statistics import median

from kvwatch.constants import DAY_SECONDS, HOUR_SECONDS, TINY
from kvwatch.core.interval import Interval
from kvwatch.core.steps.step_rows import StepRow, StepRows
from kvwatch.stats.change import ChangeDetector
from kvwatch.stats.level_rates import Level
from kvwatch.stats.step_law_fit import LawFit
from kvwatch.stats.step_regression import StepRegression

_NEWS_RATIO = 0.1
"""Share of new rows from which on the law is fitted again [1]. Choice: a law moves ever slower; a tenth of news moves
it by less than its own deviation."""
_FIT_SECONDS = 60.0
"""How old a law may be while there are new rows [s]. Choice: a minute, that of the shortest λ; a fit takes some
milliseconds."""
_ENOUGH = 20
"""Rows from which on a first law is fitted [rows]. Choice: four for each coefficient; half has the first μ twice as
early and less sure, double keeps it back for half a minute more."""
_LEAST = 8
"""Rows that do where scrapes are rare [rows]. Choice: more than there are coefficients; the prior has the rest."""
_LONGEST_WAIT_SECONDS = 60.0
"""How long rows are collected before a few have to do [s]. Choice: with a scrape every 15 s twenty rows would take five
minutes."""
_OUTLIER = 6.0
"""Residual over a typical one beyond which a row is dropped [1]. Choice: such rows are pauses of the host, not steps;
half would drop steps of an odd batch."""
_KEEP_AFTER_CHANGE = 0.2
"""Weight kept of what was learnt before a change of speed [1]. Choice: the law keeps its shape until the new data has
one of its own, and a fifth is outvoted within minutes."""
_STRANGE_INTERVALS = 3.0
"""Intervals at a load level below which an odd row is believed [intervals]. Choice: of fewer there is no usual to be
odd against."""
_FAMILIAR_INTERVALS = 10.0
"""Intervals at a load level from which on it shows a change of the hardware [intervals]. Choice: at a load not seen
before it is the law that may be wrong."""
_HALF_LIFE_SECONDS = 7 * DAY_SECONDS
"""Half-life of a load level that does not come again [s]. Choice: drivers, clocks and neighbours change over weeks; a
level that comes every week keeps half."""
_FADE_EVERY_SECONDS = HOUR_SECONDS
"""How often that is applied [s]. Choice: a half-life of a week moves by 0.4% in an hour."""
_RECENT = 6
"""Rows in a row that must take another time to be a change of the hardware [rows]. Choice: fewer are a neighbour's
burst; double notices a throttled GPU twice as late."""
_SHIFT = 0.18
"""Logarithm by which they must be off [1]. Choice: a fifth: clocks throttle by that and more, and the law's own misfit
is below it."""
_ORDINARY_FULL_LOAD = (64.0, 64.0, 1e5)
"""Sequences, prompt tokens and resident tokens of a full step at which the prior is stated until a run of the embedded
engine says better [1]. Choice: an engine of middling size; the prior's spread covers the others."""
_FULL_LOAD_MOVED_RATIO = 0.1
"""Relative change of the full step from which on the law is fitted again [1]. Choice: the prior's spread is many times
as wide."""
_REMEMBERED_MISFITS = 60
"""Misfits among which a change of speed is looked for [rows]. Choice: a minute and more of rows."""
_FALSE_CHANGE_PROBABILITY = 1e-4
"""Bound on the probability that a change is seen where there is none [1]. Choice: an engine makes thousands of rows in
an hour, and each false change throws four fifths of what was learnt away."""
_LEAST_SPREAD = 0.02
"""Least scatter of misfits that counts as usual [1]. Choice: rows of a second are no better."""
_TOGETHER_SPREADS = 3.0
"""Usual scatters by which all recent rows must be off to be a change by themselves [1]. Choice: they are two standard
deviations of normal misfits, which six in a row exceed by chance once in 10^8."""
_REMEMBERED_RESIDUALS = 120
"""Residuals of which the usual size is taken [rows]. Choice: two minutes of rows."""
_FIRST_TYPICAL = 0.1
"""Usual residual until there are some [1]. Choice: wide enough to drop nothing."""
_LOOKS = 8
"""Times that the usual size is taken while the residuals change once over [1]. Choice: a median costs something."""
_DEVIATION_OVER_MEDIAN = 1.5
"""Usual residual over the median of their absolute values [1]. Choice: it is 1.48 for normal ones."""
_LEAST_TYPICAL = 0.01
"""Least usual residual [1]. Choice: what whole steps in a second leave."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A row against the law: logarithms of its time, and of the usual one at such a load, over what the law says.

    ``known_intervals`` are those that the usual one rests on.
    """

    misfit: float
    usual: float
    known_intervals: float


class StepLawMemory:
    """Learns b(n, p, K) from busy intervals without preemptions, in which the counters show all that was computed."""

    def __init__(self, regression: StepRegression | None = None) -> None:
        self._regression = regression or StepRegression()
        self._full_load = _ORDINARY_FULL_LOAD
        self._fit: LawFit | None = None
        self._since_fit = self._rows = 0
        self._early: list[StepRow] = []
        self._early_since: float | None = None
        self._intervals = StepRows()
        self._misfits: deque[float] = deque(maxlen=_REMEMBERED_MISFITS)
        self._fitted_at = float("-inf")
        self._residuals = _Residuals()
        self._change = ChangeDetector(_FALSE_CHANGE_PROBABILITY)
        self._faded_at: float | None = None
        self._doubted = 0

    def update(self, interval: Interval, *, watch_only: bool = False) -> None:
        """Take an interval; it may teach nothing.

        With ``watch_only`` it does not, as :meth:`learn` takes the same steps one by one.
        """
        self._fade(interval.end)
        rows = self._intervals.add(interval)
        if self._fit is None and not watch_only:
            self._collect(interval.end, rows)
            return
        for row in rows:
            self._take(row, watch_only=watch_only)
        if not watch_only:
            self._refit_in_time(interval.end)

    def _take(self, row: StepRow, *, watch_only: bool) -> None:
        """Hold a row against the law, and learn from it."""
        held = self._hold(row)
        if held is not None and self._watch(held):
            held = self._hold(row)  # the law is another one
        if not watch_only:
            self._learn(row, held)
            self._count_row()

    def learn(self, at: float, row: StepRow) -> None:
        """Take a row whose composition and time are known for each of its steps."""
        self._fade(at)
        if self._fit is None:
            self._collect(at, [row])
            return
        self._learn(row, self._hold(row))
        self._count_row()
        self._refit_in_time(at)

    def _hold(self, row: StepRow) -> _Held | None:
        """The row against the law and against its like; ``None`` before there is a law."""
        if self._fit is None:
            return None
        weight = self._regression.known_weight(row.composition)
        usual = self._regression.misfit(row.composition, self._fit)
        return _Held(log(row.seconds / self._fit.seconds(row.composition)), usual, weight)

    def _count_row(self) -> None:
        self._since_fit += 1
        self._rows += 1

    def _refit_in_time(self, at: float) -> None:
        """Fit again where there are enough new rows, or some and the last fit is a minute old."""
        if self._since_fit and (self._since_fit >= _NEWS_RATIO * self._rows or at - self._fitted_at >= _FIT_SECONDS):
            self._fitted_at = at
            self.refit()

    def _collect(self, at: float, rows: list[StepRow]) -> None:
        """Keep rows until there are enough for a first fit."""
        self._early += rows
        self._early_since = at if self._early_since is None and rows else self._early_since
        lasted = at - self._early_since if self._early_since is not None else 0.0
        if len(self._early) >= _ENOUGH or (len(self._early) >= _LEAST and lasted >= _LONGEST_WAIT_SECONDS):
            self._start()

    def _learn(self, row: StepRow, held: _Held | None) -> None:
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

    def _start(self) -> None:
        """First fit; what takes far longer than its like says less."""
        seconds = median(row.seconds for row in self._early)
        for row in self._early:
            expected = max(seconds, row.seconds if row.composition[1] else seconds)
            weight = min(1.0, expected / row.seconds) ** 2 * min(row.intervals, 1.0)
            self._regression.update(row.composition, row.seconds, weight)
        self._rows = len(self._early)
        self._early.clear()
        self.refit()

    def _watch(self, held: _Held) -> bool:
        """Rescale the law when steps take another time than the law says, and did not before, for good.

        Whether it was.
        """
        misfit = held.misfit
        if self._doubted:
            self._doubted -= 1
        elif held.known_intervals < _FAMILIAR_INTERVALS:
            return False  # at a load not seen before it is the law that may be wrong
        else:  # and at one that was seen it may fit badly, as where more at once serve less
            misfit -= held.usual
        self._misfits.append(misfit)
        # a single pause must not look like a change: what is fed is cut to what steps can do
        changed = self._change.update(min(max(misfit, -1.0), 1.0))
        if len(self._misfits) < 2 * _RECENT or max(self._misfits) - min(self._misfits) <= _SHIFT:
            return False  # no two medians of them are a change apart
        recent, before = list(self._misfits)[-_RECENT:], list(self._misfits)[:-_RECENT]
        usual = median(before)
        spread = max(median(abs(m - usual) for m in before), _LEAST_SPREAD)
        shift = median(recent) - usual
        together = min(abs(m - usual) for m in recent) > _TOGETHER_SPREADS * spread
        if abs(shift) <= _SHIFT or not (changed or together):
            return False
        self._regression.scale_time(exp(shift), _KEEP_AFTER_CHANGE)
        self._residuals = _Residuals()
        self._misfits.clear()
        self._doubted = 0
        self._change = ChangeDetector(_FALSE_CHANGE_PROBABILITY)
        self._rows = 0
        self.refit()
        return True

    def doubt(self) -> None:
        """The server is a new process, or what is known comes from a file: its hardware may be another one.

        The first rows are then held against the law as if it had been right until now, whatever the load.
        """
        self._doubted = 2 * _RECENT
        self._misfits.clear()
        self._misfits.extend([0.0] * 2 * _RECENT)

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
        self._early.clear()
        self.refit()
        self.doubt()
        self._rows = round(self._fit.weight) if self._fit is not None else 0


class _Residuals:
    """The last residuals, and their usual size, which is worked out again now and then."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_REMEMBERED_RESIDUALS)
        self._since = 0
        self.typical = _FIRST_TYPICAL

    def append(self, residual: float) -> None:
        """Take one."""
        self._last.append(abs(residual))
        self._since += 1
        if len(self._last) >= _LEAST and self._since * _LOOKS >= len(self._last):
            self._since = 0
            self.typical = max(median(self._last) * _DEVIATION_OVER_MEDIAN, _LEAST_TYPICAL)
