"""When latency over the load is worked out again for one engine, and of what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.latency import curve as module
from kvwatch.core.latency.curve import LatencyInputs, LatencyModel, LatencyRun
from kvwatch.embedded.latency_curve import Loaded, Point
from tests.core.capacity.evidence import OUTPUT, PROMPT, inputs

POINT = Point(0.5, (0.0, 0.1, 0.2), (0.1, 0.2, 0.3), (0.02, 0.03, 0.04), 20.0)


def asked(model: LatencyModel, now: float, **changes: object) -> bool:
    """Whether a run is due, with something else about what latency rests on."""
    known = LatencyInputs(replace(inputs(), **{k: v for k, v in changes.items() if k != "burstiness"}))  # type: ignore[arg-type]
    known = replace(known, burstiness=changes.get("burstiness", 1.0))  # type: ignore[arg-type]
    return model.take_due(now, lambda: known) is not None


def test_nobody_asks_and_nothing_is_worked_out() -> None:
    """It takes seconds of CPU; nor is it where the engine is not known yet, which is asked again."""
    assert not asked(LatencyModel(wanted=False), 0.0)
    model = LatencyModel(wanted=True)
    assert model.take_due(0.0, lambda: None) is None
    assert asked(model, 1.0)


def test_a_curve_is_an_hour_old_at_most() -> None:
    """As long as nothing moves."""
    model = LatencyModel(wanted=True)
    assert asked(model, 0.0)
    assert not asked(model, 3599.0)
    assert asked(model, 3600.0)


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"max_num_seqs": 88}, False),
        ({"max_num_seqs": 90}, True),
        ({"burstiness": 1.1}, False),
        ({"burstiness": 1.12}, True),
    ],
)
def test_what_has_moved_by_a_tenth_is_worked_out_again_after_ten_minutes(
    changes: dict[str, object], moved: bool
) -> None:
    """Of 80 seats, or of how arrivals come; and no sooner."""
    model = LatencyModel(wanted=True)
    assert asked(model, 0.0)
    assert not asked(model, 599.0, **changes)
    assert asked(model, 600.0, **changes) is moved


def test_after_other_settings_the_curve_says_nothing_and_is_made_at_once() -> None:
    """It was of an engine that is no more."""
    model = LatencyModel(wanted=True)
    assert asked(model, 0.0)
    model.curve = module.Curve((POINT,), None, PROMPT)  # type: ignore[arg-type]
    model.forget()
    assert model.curve is None
    assert asked(model, 1.0)


def test_a_run_is_of_the_engine_kept_full_and_of_its_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seats for 80; arrivals as they come; steady ones and a synchronous scheduler where nothing is said."""
    seen: list[Loaded] = []
    monkeypatch.setattr(module, "latency_curve", lambda engine: seen.append(engine) or [POINT])
    made = LatencyRun(LatencyInputs(inputs(), 3.0, async_scheduling=True)).run()
    assert made is not None
    assert (made.points, made.mean_prompt_tokens) == ((POINT,), PROMPT)
    assert 70 < made.full.mean_running <= 80
    LatencyRun(LatencyInputs(inputs())).run()
    assert [(one.burstiness, one.async_scheduling) for one in seen] == [(3.0, True), (1.0, False)]
    assert {(shape.prompt_tokens, shape.output_tokens) for shape in seen[0].pool} == {(PROMPT, OUTPUT)}
    assert seen[0].full is made.full
