"""What the embedded engine is run on: the server's settings, for as long as the requests need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kvwatch.core.capacity.correction import LONGEST_WAVE_TOKENS, FullEngineRun, stability_of
from kvwatch.core.capacity.full_engine import FullEngineInputs, FullLaw
from tests.core.capacity.evidence import inputs


def _of_lengths(*outputs: float) -> FullEngineInputs:
    full = inputs()
    mix = replace(full.mix, output_tokens=np.array(outputs), prompt_tokens=np.full(len(outputs), 100.0))
    return replace(full, mix=mix)


def test_a_run_lasts_four_lives_of_the_request_that_one_meets() -> None:
    """One in ten is 40 times as long as the others: it is met most of the time, and must have grown old."""
    wide = FullEngineRun(_of_lengths(*[50.0] * 9, 2000.0)).experiment()
    alike = FullEngineRun(_of_lengths(*[50.0] * 10)).experiment()
    assert wide is not None
    assert alike is not None
    # E[T²]/E[T] by hand: (9·50² + 2000²)/(9·50 + 2000) = 1,642 steps
    assert wide.steps == pytest.approx(4 * 1642, rel=0.01)
    assert alike.steps == 1500


def test_no_waves_are_looked_for_in_outputs_that_no_server_makes() -> None:
    """Seventeen million tokens, as a damaged histogram has shown, took minutes and gigabytes; a usual mix is judged."""
    assert stability_of(_of_lengths(*[50.0] * 9, 17_305_793.0).mix) is None
    assert stability_of(_of_lengths(*[50.0] * 9, LONGEST_WAVE_TOKENS + 1.0).mix) is None
    assert stability_of(_of_lengths(*[50.0] * 9, 2000.0).mix) is not None


def test_the_watermark_that_the_server_has_is_the_embedded_engines() -> None:
    """It saves evictions, a fifth of the throughput on some traffic; without a word it is vLLM's default, none."""
    assert _settings_of(inputs()) == 0.0
    assert _settings_of(replace(inputs(), watermark_ratio=0.02)) == 0.02


def test_a_prompt_that_the_server_takes_from_its_cache_makes_no_step_longer() -> None:
    """Neither in the engine that is kept full nor in the one that a latency is read off: both have one law."""
    half = FullLaw(_OfPrompts(), uncached_ratio=0.5)  # type: ignore[arg-type]
    assert half.step_seconds(8.0, 512.0, 4000.0, 1.0) == pytest.approx(0.256)
    assert half.mean_seconds(8.0, 512.0, 4000.0, 1.0) == pytest.approx(0.256)


class _OfPrompts:
    """A law by which a step takes a millisecond for each prompt token."""

    def seconds(self, composition: tuple[float, float, float, float]) -> float:
        return 0.001 * composition[1]


def _settings_of(full: FullEngineInputs) -> float:
    made = FullEngineRun(full).experiment()
    assert made is not None
    return made.settings.watermark_ratio
