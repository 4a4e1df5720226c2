"""When steps that take another time are another hardware, and when they are only more at once."""

from __future__ import annotations

import random

from kvwatch.core.steps.step_law import StepLawMemory
from kvwatch.core.steps.step_rows import StepRow


def _row(n: float, seconds: float, source: random.Random) -> StepRow:
    """A second of steps with ``n`` sequences, two prompt tokens for each, and 2% of noise."""
    return StepRow((n, 2 * n, 500 * n, min(n / 400, 1.0)), seconds * source.lognormvariate(0, 0.02))


class _Watched(StepLawMemory):
    """A law that is shown rows as an interval makes them."""

    def show(self, at: float, row: StepRow) -> None:
        if self._fit is not None:
            self._watch(row)
        self.learn(at, row)


def _learnt(source: random.Random) -> _Watched:
    """Ten minutes at 20 to 120 sequences, 10 ms and 0.1 ms for each."""
    law = _Watched()
    for at in range(600):
        n = source.uniform(20, 120)
        law.show(float(at), _row(n, 0.01 + 1e-4 * n, source))
    return law


def test_steps_that_slow_down_beyond_some_number_are_no_other_hardware() -> None:
    """Five minutes of overload at 500 sequences, each step three times what a straight law says: what was learnt stays.

    A change would have thrown four fifths of it away, and called all that was seen before as much slower.
    """
    source = random.Random(3)
    law = _learnt(source)
    before = {round(level.sequences): level.rate for level in law.levels()}
    for at in range(600, 900):
        law.show(float(at), _row(500.0, 3 * (0.01 + 1e-4 * 500), source))
    after = {round(level.sequences): level for level in law.levels()}
    assert set(before) < set(after)
    assert all(abs(after[n].rate / rate - 1) < 0.01 and after[n].intervals > 20 for n, rate in before.items())


def test_hardware_that_slows_down_is_noticed_within_minutes() -> None:
    """At the loads that are known: a clock that throttles by a third is in the law five minutes later."""
    source = random.Random(4)
    law = _learnt(source)
    for at in range(600, 900):
        n = source.uniform(20, 120)
        law.show(float(at), _row(n, 1.33 * (0.01 + 1e-4 * n), source))
    fit = law.get()
    assert fit is not None
    assert abs(fit.seconds((80.0, 160.0, 4e4, 0.2)) / (1.33 * 0.018) - 1) < 0.05
