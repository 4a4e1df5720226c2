"""Where each concept is: a module that bears its metric's name, short enough to be read at once, with its answer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kvwatch.export.catalog import BY_NAME

ROOT = Path(__file__).parents[2]
CORE = ROOT / "kvwatch" / "core"
CONCEPTS = {
    "arrival_rate": "traffic",
    "step_seconds": "steps",
    "request_demand": "traffic",
    "kv_capacity": "capacity",
    "service_rate": "capacity",
    "utilization": "capacity",
    "largest_request": "capacity",
    "stable_limit": "capacity",
    "queue_slope": "traffic",
    "wave": "eviction",
    "replicas_required": "pool",
}
"""λ, b̄, E[g], M, μ, ρ, δ·M, 1 − δ, the queue's slope, the wave, and the number of replicas: module and package."""
METRICS = {"request_demand": "request_demand_token_steps", "kv_capacity": "kv_capacity_tokens"}
"""Metrics whose name has their unit as well."""
WITHOUT_METRIC = ("wave", "largest_request")
LONGEST_LINES = 200


@pytest.mark.parametrize(("concept", "package"), CONCEPTS.items())
def test_each_concept_is_one_module_of_its_name(concept: str, package: str) -> None:
    """Nowhere else in the core is a module of that name, and none of them is longer than a person reads at once."""
    assert list(CORE.rglob(f"{concept}.py")) == [CORE / package / f"{concept}.py"]
    assert len((CORE / package / f"{concept}.py").read_text(encoding="utf-8").splitlines()) < LONGEST_LINES
    if concept not in WITHOUT_METRIC:
        assert f"kvwatch_{METRICS.get(concept, concept)}" in BY_NAME


def test_the_engine_is_a_list_of_parts() -> None:
    """What a part can say for itself it says there: the engine is as short as what it joins."""
    assert len((CORE / "engine.py").read_text(encoding="utf-8").splitlines()) < LONGEST_LINES


def test_no_module_of_the_core_is_longer_than_a_person_reads_at_once() -> None:
    """One that has grown answers two questions: each gets a module that is named after it."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in CORE.rglob("*.py")}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > LONGEST_LINES} == {}


WATCHED = ("largest_request", "queue_slope", "wave", "replicas_required")
ANSWERS = {"Estimate", "KeyedEstimate", "ServiceRate"}
"""What an answer is: an estimate, or one with what it rests on."""


@pytest.mark.parametrize("concept", [c for c in CONCEPTS if c not in WATCHED])
def test_an_answer_is_an_estimate_that_a_function_of_the_metrics_name_returns(concept: str) -> None:
    """The largest request, the queue, the wave and the replicas are answered by watchers, in their modules."""
    tree = ast.parse((CORE / CONCEPTS[concept] / f"{concept}.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    returned = functions[next(name for name in (METRICS.get(concept), concept) if name in functions)].returns
    assert isinstance(returned, ast.Name)
    assert returned.id in ANSWERS
