"""Do steps take another time than they did, for good? Then the hardware is another one, or is throttled."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from kvwatch.stats.change import ChangeDetector

_FAMILIAR_INTERVALS = 10.0
"""Intervals at a load level from which on it shows a change of the hardware [intervals]. Choice: at a load not seen
before it is the law that may be wrong."""
_RECENT = 6
"""Rows in a row that must take another time to be a change of the hardware [rows]. Choice: fewer are a neighbour's
burst; double notices a throttled GPU twice as late."""
_SHIFT = 0.18
"""Logarithm by which they must be off [1]. Choice: a fifth: clocks throttle by that and more, and the law's own misfit
is below it."""
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


@dataclass(frozen=True, slots=True)
class Held:
    """A row against the law: logarithms of its time, and of the usual one at such a load, over what the law says.

    ``known_intervals`` are those that the usual one rests on.
    """

    misfit: float
    usual: float
    known_intervals: float


class SpeedWatch:
    """Looks for a change among the last misfits of rows."""

    def __init__(self) -> None:
        self._misfits: deque[float] = deque(maxlen=_REMEMBERED_MISFITS)
        self._change = ChangeDetector(_FALSE_CHANGE_PROBABILITY)
        self._doubted = 0

    def update(self, held: Held) -> float | None:
        """Take a row; the logarithm by which steps take longer now than the law says, and did not before.

        ``None`` if they do not. After a shift all begins again: whoever asks has a law of another speed.
        """
        misfit = held.misfit
        if self._doubted:
            self._doubted -= 1
        elif held.known_intervals < _FAMILIAR_INTERVALS:
            return None  # at a load not seen before it is the law that may be wrong
        else:  # and at one that was seen it may fit badly, as where more at once serve less
            misfit -= held.usual
        self._misfits.append(misfit)
        # a single pause must not look like a change: what is fed is cut to what steps can do
        changed = self._change.update(min(max(misfit, -1.0), 1.0))
        if len(self._misfits) < 2 * _RECENT or max(self._misfits) - min(self._misfits) <= _SHIFT:
            return None  # no two medians of them are a change apart
        recent, before = list(self._misfits)[-_RECENT:], list(self._misfits)[:-_RECENT]
        usual = median(before)
        spread = max(median(abs(m - usual) for m in before), _LEAST_SPREAD)
        shift = median(recent) - usual
        together = min(abs(m - usual) for m in recent) > _TOGETHER_SPREADS * spread
        if abs(shift) <= _SHIFT or not (changed or together):
            return None
        self._misfits.clear()
        self._doubted = 0
        self._change = ChangeDetector(_FALSE_CHANGE_PROBABILITY)
        return shift

    def doubt(self) -> None:
        """The server is a new process, or what is known comes from a file: its hardware may be another one.

        The first rows are then held against the law as if it had been right until now, whatever the load.
        """
        self._doubted = 2 * _RECENT
        self._misfits.clear()
        self._misfits.extend([0.0] * 2 * _RECENT)
