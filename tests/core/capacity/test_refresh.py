"""When the embedded engine is run again."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.refresh import Refresh
from tests.core.capacity.evidence import HELD, correction, inputs

NOW, MAX_AGE = 1_800_000_000.0, 300.0


def moved(ratio: float) -> FullEngineInputs:
    """The same engine with requests that hold more."""
    full = inputs()
    return replace(full, mix=replace(full.mix, held=HELD * ratio))


def corrected() -> Refresh:
    """After a run at NOW that gave a correction."""
    refresh = Refresh(MAX_AGE)
    assert refresh.take_due(NOW, inputs) is not None
    refresh.correction = correction(0.9)
    return refresh


def test_the_first_run_is_due_as_soon_as_there_are_inputs() -> None:
    """Not before; and one that was handed out counts as made, whatever becomes of it."""
    refresh = Refresh(MAX_AGE)
    assert refresh.take_due(NOW, lambda: None) is None
    assert refresh.take_due(NOW, inputs) is not None
    assert refresh.take_due(NOW + 29, inputs) is None
    assert refresh.take_due(NOW + 30, inputs) is not None


def test_with_a_correction_the_next_run_is_due_when_it_is_old_or_the_inputs_have_moved() -> None:
    """By more than two percent, and half a minute after the last one at the earliest."""
    assert corrected().take_due(NOW + MAX_AGE - 1, inputs) is None
    assert corrected().take_due(NOW + MAX_AGE, inputs) is not None
    assert corrected().take_due(NOW + 30, lambda: moved(1.019)) is None
    assert corrected().take_due(NOW + 30, lambda: moved(1.03)) is not None
    assert corrected().take_due(NOW + 29, lambda: moved(1.03)) is None


def test_a_limit_more_or_less_is_a_move() -> None:
    """Seats that nobody knew before."""
    assert corrected().take_due(NOW + 30, lambda: inputs(seats=None)) is not None


def test_inputs_are_asked_for_only_when_time_allows_a_run() -> None:
    """They cost something at each scrape."""
    asked = []
    corrected().take_due(NOW + 29, lambda: asked.append(1))  # type: ignore[func-returns-value]
    assert not asked


def test_other_settings_make_the_last_run_worthless() -> None:
    """It is gone, and the next is due at once."""
    refresh = corrected()
    refresh.forget()
    assert refresh.correction is None
    assert refresh.take_due(NOW + 1, inputs) is not None
