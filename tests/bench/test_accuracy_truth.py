"""The simulated truth is not made of what the estimator believes: no code, no constant and no formula in common."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bench.accuracy import nature
from bench.accuracy.engines import design
from bench.accuracy.moe_engines import moe_design
from bench.accuracy.routing import Routing
from bench.accuracy.step_physics import StepPhysics, smooth_maximum
from bench.accuracy.workloads import composition
from kvwatch.embedded.settings import RequestShape

ROOT = Path(__file__).parents[2]
TRUTH = (
    "routing", "step_physics", "true_clock", "nature", "hardware", "moe_systems", "workloads", "engines", "moe_engines",
    "saturated", "snapshot", "trace", "simulate",
)  # fmt: skip
"""Modules that make what is true, and what kvwatch is shown."""
ESTIMATOR = ("kvwatch.core", "kvwatch.stats", "kvwatch.queueing")


def _imports(module: str) -> Iterator[str]:
    """Names of the modules that a module imports."""
    path = ROOT / (module.replace(".", "/") + ".py")
    path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            within = ROOT / node.module.replace(".", "/")
            yield from (f"{node.module}.{n.name}" for n in node.names if (within / f"{n.name}.py").exists())


def test_the_truth_imports_nothing_of_the_estimator() -> None:
    """Neither directly nor through another module of the bench or of kvwatch."""
    seen: set[str] = set()
    queue = [f"bench.accuracy.{name}" for name in TRUTH]
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        assert not module.startswith(ESTIMATOR), module
        queue += [name for name in _imports(module) if name.startswith(("bench.", "kvwatch."))]
    assert "kvwatch.embedded.scheduler" in seen  # the walk does follow imports


@pytest.mark.parametrize("engines", [design(66), moe_design()], ids=["dense", "moe"])
def test_what_nobody_knows_differs_from_engine_to_engine(engines: list) -> None:  # type: ignore[type-arg]
    """Overlap, bends, waits, watermark, noise and gaps: where an engine has them, no two have the same."""
    for values in (
        [e.physics.overlap for e in engines],
        [e.physics.sharpness for e in engines],
        [e.physics.decode_bend for e in engines],
        [e.physics.attention_bend for e in engines],
        [e.physics.eager_seconds for e in engines],
        [e.settings.watermark_ratio for e in engines],
        [e.disturbance.noise_ratio for e in engines],
        [e.disturbance.gap_seconds[1] for e in engines],
        [e.disturbance.pause_every_seconds for e in engines],
    ):
        drawn = [value for value in values if value]
        assert len(drawn) >= len(engines) / 8
        assert len(set(drawn)) == len(drawn)


def test_no_two_dense_engines_use_their_gpu_equally_well() -> None:
    """Shares of bandwidth and arithmetic are drawn, so that no coefficient is a data sheet's times a constant."""
    engines = [e for e in design(66) if e.system == "H100 8B"]
    for name in ("host_seconds", "weight_seconds", "token_seconds", "resident_seconds", "decode_share"):
        assert len({getattr(e.physics, name) for e in engines}) == len(engines) > 1


STRAIGHT = StepPhysics(0.002, 0.01, 2e-5, 4e-5, 6e-8, decode_share=0.2)


def test_a_straight_engine_is_affine_where_reading_weights_takes_longest() -> None:
    """The control has no bend: equal steps in n, p and K cost the same, to 1%, up to a batch of a hundred."""
    assert STRAIGHT.seconds(60, 0, 0) - STRAIGHT.seconds(40, 0, 0) == pytest.approx(20 * (2e-5 + 0.2 * 4e-5), rel=0.01)
    assert STRAIGHT.seconds(0, 900, 0) - STRAIGHT.seconds(0, 500, 0) == pytest.approx(400 * 4e-5)
    assert STRAIGHT.seconds(9, 0, 2e5) - STRAIGHT.seconds(9, 0, 1e5) == pytest.approx(1e5 * 6e-8)


def test_a_batch_of_thousands_takes_at_least_its_arithmetic() -> None:
    """Decoding sequences need as much arithmetic as prompt tokens do, whatever hides behind reading the weights."""
    assert STRAIGHT.seconds(4000, 0, 0) >= 4000 * 4e-5


@pytest.mark.parametrize("kind", nature.KINDS)
def test_every_kind_departs_from_the_straight_engine_in_its_own_way(kind: str) -> None:
    """By what it is named after, and the control not at all."""
    bent = nature.bent(STRAIGHT, kind, random.Random(1))
    bent = replace(bent, full_sequences=100, full_tokens=1e5)
    straight = replace(STRAIGHT, sharpness=bent.sharpness)
    changes = {
        "a full batch": bent.seconds(96, 0, 1e5) / straight.seconds(96, 0, 1e5) - 1,
        "between two graphs": bent.seconds(9, 0, 0) / straight.seconds(9, 0, 0) - 1,
        "a prompt": bent.seconds(0, 300, 0) / straight.seconds(0, 300, 0) - 1,
    }
    signs = {name: (change > 1e-3) - (change < -1e-3) for name, change in changes.items()}
    assert (
        signs
        == {
            "affine": {"a full batch": 0, "between two graphs": 0, "a prompt": 0},
            "curved": {"a full batch": 1, "between two graphs": 0, "a prompt": 0},
            "stepped": {"a full batch": 0, "between two graphs": 1, "a prompt": 1},
            "roofline": {"a full batch": -1, "between two graphs": -1, "a prompt": -1},
        }[kind]
    )


def test_reading_and_computing_side_by_side_take_between_the_longer_and_both() -> None:
    """Whatever exponent is drawn."""
    for exponent in (nature.OVERLAP.low, nature.OVERLAP.high):
        assert 0.01 < smooth_maximum(0.01, 0.004, exponent) < 0.014
        assert smooth_maximum(0.01, 0.0, exponent) == 0.01


def test_equally_popular_experts_are_read_as_chance_has_it() -> None:
    """Of E experts of which each token takes k, m tokens leave (1 − k/E)ᵐ unread."""
    even = Routing(128, 8 / 128, 0.0, seed=1)
    for tokens in (1, 8, 64):
        assert even.read_share(tokens) == pytest.approx(1 - (1 - 8 / 128) ** tokens, rel=1e-6)


def test_popular_experts_are_read_first_and_rare_ones_late() -> None:
    """One token reads as much whoever is popular; many tokens read less where some are; all read all in the end."""
    even, skewed = Routing(128, 0.05, 0.0, seed=1), Routing(128, 0.05, 1.0, seed=1)
    assert skewed.read_share(1) == pytest.approx(even.read_share(1), rel=1e-6)
    assert skewed.read_share(32) < 0.9 * even.read_share(32)
    assert skewed.read_share(20_000) == pytest.approx(1, abs=0.01)
    shares = [skewed.read_share(tokens) for tokens in range(300)]
    assert all(b > a for a, b in pairwise(shares))


def test_a_requests_memory_is_that_of_its_steps_one_by_one() -> None:
    """A prompt of 40 in chunks of 32 and three outputs: 32, 48, 48 and 48 tokens of blocks of 16 are held."""
    mean = composition([RequestShape(40, 3)], 16, 32)
    assert mean.memory_token_steps == 32 + 48 + 48 + 48
    assert (mean.steps, mean.compute_tokens, mean.output_tokens) == (4, 42, 3)
