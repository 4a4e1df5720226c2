"""What the step law remembers: by load level, in bounded weight, and what becomes of it when the hardware changes."""

from __future__ import annotations

import json
from math import log

import pytest

from kvwatch.stats.step_regression import LawFit, StepRegression

QUIET, BUSY = (2.0, 0.0, 4e3, 0.0), (60.0, 0.0, 1.2e5, 0.0)
FULL = (128.0, 256.0, 2.5e5)


def seconds(composition: tuple[float, float, float, float], slower: float = 1.0) -> float:
    """A law that is straight: 20 ms, and half a millisecond for each sequence."""
    return slower * (0.02 + 5e-4 * composition[0])


def taught(*rows: tuple[tuple[float, float, float, float], int], slower: float = 1.0) -> StepRegression:
    """A regression that has seen each composition so often."""
    regression = StepRegression()
    for composition, times in rows:
        for _ in range(times):
            regression.update(composition, seconds(composition, slower))
    return regression


def fit(regression: StepRegression) -> LawFit:
    """Its law."""
    found = regression.fit(FULL)
    assert found is not None
    return found


def test_there_is_no_law_before_five_intervals() -> None:
    """Four may be of one odd minute."""
    assert taught((BUSY, 4)).fit(FULL) is None
    assert taught((BUSY, 5)).fit(FULL) is not None


def test_a_load_level_is_remembered_with_at_most_a_hundred_and_twenty_intervals() -> None:
    """So a long quiet night does not outweigh the peak of the afternoon: within a level the new replaces the old."""
    regression = taught((QUIET, 1000), (BUSY, 30))
    assert regression.known_weight(QUIET) == pytest.approx(120)
    assert regression.known_weight(BUSY) == pytest.approx(30)
    assert regression.known_weight((500.0, 0.0, 1e6, 0.0)) == 0
    assert fit(regression).weight == pytest.approx(150)
    assert fit(regression).seconds(BUSY) == pytest.approx(seconds(BUSY), rel=0.01)


def test_levels_are_half_octaves_of_the_batch_and_two_octaves_of_the_prompts() -> None:
    """Twice the sequences are another level, a tenth more are the same; prompts count by powers of four."""
    regression = taught(((16.0, 64.0, 3e4, 1.0), 6))
    assert regression.known_weight((17.0, 70.0, 3e4, 1.0)) == 6
    assert regression.known_weight((32.0, 64.0, 6e4, 1.0)) == 0
    assert regression.known_weight((16.0, 256.0, 3e4, 1.0)) == 0


def test_a_misfit_is_the_logarithm_of_what_was_seen_over_the_law() -> None:
    """0 at a level that nobody has seen, and where the law is right."""
    regression = taught((QUIET, 60), (BUSY, 60))
    law = fit(regression)
    assert regression.misfit(BUSY, law) == pytest.approx(log(seconds(BUSY) / law.seconds(BUSY)))
    assert regression.misfit((500.0, 0.0, 1e6, 0.0), law) == 0
    assert abs(regression.misfit(BUSY, law)) < 0.02


def test_slower_hardware_keeps_the_laws_shape_with_less_weight() -> None:
    """Twice as long everywhere, with a fifth of the intervals: what comes then counts five times as much."""
    regression = taught((QUIET, 60), (BUSY, 60))
    before = fit(regression)
    regression.scale_time(2.0, 0.2)
    after = fit(regression)
    for composition in (QUIET, BUSY):
        assert after.seconds(composition) == pytest.approx(2 * before.seconds(composition), rel=0.02)
    assert after.weight == pytest.approx(0.2 * before.weight)
    assert regression.known_weight(BUSY) == pytest.approx(12)


def test_what_has_faded_to_a_hundredth_of_an_interval_is_dropped() -> None:
    """Not only weighed as nothing: a level that never comes again takes no memory."""
    regression = taught((QUIET, 100), (BUSY, 1))
    regression.fade(0.02)
    assert len(regression.dump()["cells"]) == 2  # type: ignore[arg-type]
    regression.fade(0.4)
    assert len(regression.dump()["cells"]) == 1  # type: ignore[arg-type]
    assert regression.known_weight(QUIET) == pytest.approx(0.8)


def test_nothing_is_left_after_clear() -> None:
    """As of a new engine."""
    regression = taught((QUIET, 60))
    regression.clear()
    assert regression.fit(FULL) is None
    assert regression.known_weight(QUIET) == 0


def test_what_was_seen_is_of_levels_seen_more_than_in_passing() -> None:
    """Two intervals of a large batch are no experience with it; three are. Where all are few, the best known count."""
    law = fit(taught((QUIET, 60), (BUSY, 2)))
    assert law.seen[0] == pytest.approx(QUIET[0])
    assert law.largest == pytest.approx(seconds(QUIET))
    law = fit(taught((QUIET, 60), (BUSY, 3)))
    assert (law.seen[0], law.seen[2]) == pytest.approx((BUSY[0], BUSY[2]))
    assert law.largest == pytest.approx(seconds(BUSY))


def test_the_law_is_surer_near_what_it_has_seen_and_the_more_it_has_seen() -> None:
    """The relative deviation grows with the distance, and falls with the number of intervals.

    Of two hundred without noise some percent are left: two levels do not say which of the law's forms it is.
    """
    few, many = fit(taught((QUIET, 10), (BUSY, 10))), fit(taught((QUIET, 100), (BUSY, 100)))
    far = (600.0, 0.0, 1.2e6, 0.0)
    assert many.relative_deviation(BUSY) < few.relative_deviation(BUSY)
    assert many.relative_deviation(BUSY) < 0.03
    assert many.relative_deviation(far) > many.relative_deviation(BUSY)


def test_one_pause_of_the_host_does_not_bend_the_law() -> None:
    """A level that was seen once, twenty times too slow, is an outlier and no law."""
    regression = taught((QUIET, 60), (BUSY, 60), ((15.0, 0.0, 3e4, 0.0), 60))
    regression.update((30.0, 0.0, 6e4, 0.0), 20 * seconds((30.0, 0.0, 6e4, 0.0)))
    for composition in (QUIET, BUSY):
        assert fit(regression).seconds(composition) == pytest.approx(seconds(composition), rel=0.05)


@pytest.mark.parametrize(
    "damage",
    [
        {"cells": {}},
        {"cells": [[0, 0, 1.0, [1.0] * 27]]},
        {"cells": [["a", 0, 1.0, [1.0] * 28]]},
        {"cells": [[65, 0, 1.0, [1.0] * 28]]},
        {"cells": [[0, -1, 1.0, [1.0] * 28]]},
        {"cells": [[0, 0, float("nan"), [1.0] * 28]]},
        {"cells": [[0, 0, 1.0, [-1.0] * 28]]},
        {"cells": [[0, 0, 1.0, [1e31] * 28]]},
        {"cells": [[0, 0, 1.0, [1.0] * 28]] * 2001},
        {},
    ],
)
def test_a_damaged_state_is_refused(damage: dict[str, object]) -> None:
    """With one of the errors that a state may raise."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        StepRegression.load(damage)


def test_a_restored_law_predicts_the_same() -> None:
    """To the digit; a level with another weight than its sums have is refused."""
    regression = taught((QUIET, 60), (BUSY, 60))
    again = StepRegression.load(json.loads(json.dumps(regression.dump())))
    for composition in (QUIET, BUSY, (200.0, 900.0, 4e5, 1.0)):
        assert fit(again).seconds(composition) == fit(regression).seconds(composition)
    (cells,) = json.loads(json.dumps(regression.dump())).values()
    with pytest.raises(ValueError, match="the weight of load level"):
        StepRegression.load({"cells": [[n, p, 1e6, flat] for n, p, _, flat in cells]})
