"""When steps that take another time are another hardware, and when they are only more at once."""

from __future__ import annotations

import random

import pytest

from kvwatch.core.steps.mean_step import StepRow
from kvwatch.core.steps.step_law import StepLawMemory


def _row(n: float, seconds: float, source: random.Random) -> StepRow:
    """A second of steps with ``n`` sequences, two prompt tokens for each, and 2% of noise."""
    return StepRow((n, 2 * n, 500 * n, min(n / 400, 1.0)), seconds * source.lognormvariate(0, 0.02))


class _Watched(StepLawMemory):
    """A law that is shown rows as an interval makes them."""

    def show(self, at: float, row: StepRow) -> None:
        if self._fit is not None:
            self._take(row, watch_only=True)
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


def _shown(rows: int, seconds_apart: float) -> StepLawMemory:
    """A law after rows at some moderate loads, so far apart."""
    law = StepLawMemory()
    for place in range(rows):
        n = 20.0 + 5 * (place % 7)
        law.learn(seconds_apart * place, StepRow((n, 2 * n, 500 * n, n / 400), 0.01 + 1e-4 * n))
    return law


@pytest.mark.parametrize(
    ("rows", "seconds_apart", "known"),
    [(19, 1.0, False), (20, 1.0, True), (7, 15.0, False), (8, 15.0, True), (8, 8.5, False), (8, 8.6, True)],
)
def test_a_first_law_takes_twenty_rows_or_eight_and_a_minute(rows: int, seconds_apart: float, known: bool) -> None:
    """Seven intervals of 8.6 s between eight rows are a minute."""
    assert (_shown(rows, seconds_apart).get() is not None) is known


def test_the_law_is_fitted_again_for_a_tenth_of_news_or_a_minute() -> None:
    """Of 224 rows the last 23 are a tenth; one that comes a minute later does by itself."""
    law = _shown(200, 0.001)
    row = StepRow((40.0, 80.0, 2e4, 0.1), 0.014)
    law.learn(0.2, row)
    law.refit()
    fit, rows = law.get(), 201
    for news in range(1, 24):
        law.learn(0.2, row)
        assert (law.get() is not fit) is (news >= 0.1 * (rows + news))
        if law.get() is not fit:
            break
    assert news == 23
    fit = law.get()
    law.learn(59.0, row)
    assert law.get() is fit
    law.learn(61.0, row)
    assert law.get() is not fit


def test_a_pause_of_the_host_is_no_step() -> None:
    """Rows of ten times the time at a load that is known leave the law as it is."""
    source = random.Random(5)
    law = _learnt(source)
    before = law.get()
    assert before is not None
    at = (80.0, 160.0, 4e4, 0.2)
    for second in range(600, 612):
        law.learn(float(second), _row(80.0, 10 * 0.018, source))
    law.refit()
    after = law.get()
    assert after is not None
    assert abs(after.seconds(at) / before.seconds(at) - 1) < 0.005


def test_what_is_not_seen_again_counts_half_after_a_week() -> None:
    """With or without a server in between."""
    law = _shown(200, 1.0)
    weight = law._regression.known_weight((40.0, 80.0, 2e4, 0.1))
    assert weight > 10
    law._fade(3500.0)
    assert law._regression.known_weight((40.0, 80.0, 2e4, 0.1)) == weight
    law._fade(7 * 86_400.0)
    assert law._regression.known_weight((40.0, 80.0, 2e4, 0.1)) == pytest.approx(weight / 2, rel=0.001)


def test_another_full_load_moves_the_prior_from_a_tenth_on() -> None:
    """In any of sequences, prompt tokens and memory."""
    law = _shown(50, 1.0)
    law.expect((100.0, 100.0, 1e5))
    for near in ((109.0, 100.0, 1e5), (100.0, 91.0, 1e5), (100.0, 100.0, 1.09e5)):
        fit = law.get()
        law.expect(near)
        assert law.get() is fit
    for far in ((111.0, 100.0, 1e5), (111.0, 89.0, 1e5), (111.0, 89.0, 1.12e5)):
        fit = law.get()
        law.expect(far)
        assert law.get() is not fit


@pytest.mark.parametrize(("slower", "noticed"), [(1.15, False), (1.25, True), (1 / 1.25, True)])
def test_a_fifth_slower_or_faster_is_other_hardware(slower: float, noticed: bool) -> None:
    """By then most of what was learnt is gone, and what is new outvotes the rest; less may be the law's own misfit."""
    source = random.Random(6)
    law = _learnt(source)
    before = sum(level.intervals for level in law.levels())
    for at in range(600, 612):
        n = source.uniform(20, 120)
        law.show(float(at), _row(n, slower * (0.01 + 1e-4 * n), source))
    after = sum(level.intervals for level in law.levels())
    assert (after < 0.5 * before) is noticed


def test_after_a_restart_the_first_dozen_rows_tell_other_hardware_at_any_load() -> None:
    """They are held against the law as if it had been right until then; without a doubt such a load says nothing."""
    for doubted in (True, False):
        source = random.Random(7)
        law = _learnt(source)
        before = sum(level.intervals for level in law.levels())
        if doubted:
            law.doubt()
        for at in range(600, 606):
            law.show(float(at), _row(200.0, 2 * (0.01 + 1e-4 * 200), source))
        after = sum(level.intervals for level in law.levels())
        assert (after < 0.5 * before) is doubted
