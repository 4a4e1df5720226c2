"""What ``kvwatch replay`` says over recordings of servers behind something, and of servers that have no engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kvwatch.cli.main import main
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from tests.parse.exposition.passed_on import passed_on

START = 1_800_000_000
SECONDS = 120


@cache
def pages(scenario: str) -> tuple[str, ...]:
    """A server's page each two seconds."""
    engine = SCENARIOS[scenario].engine(seed=3, start=START)
    found = []
    for second in range(0, SECONDS + 1, 2):
        engine.advance(START + second)
        found.append(render(engine, model_name="acme/chat-8b"))
    return tuple(found)


def replayed(folder: Path, show: Callable[[int], str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The engines at the end by name, and what is said beside them; ``show`` makes the page of a number."""
    lines = (json.dumps({"t": START + 2 * n, "text": show(n)}) for n in range(SECONDS // 2 + 1))
    (folder / "scrapes.jsonl").write_text("\n".join(lines) + "\n")
    assert main(["replay", str(folder), "--format", "json", "--every", "60s"]) == 0
    output = capsys.readouterr()
    last = json.loads(output.out.splitlines()[-1])
    return {engine["engine"]: engine for engine in last["engines"]}, output.err


NUMBERS = ("arrival_rate", "kv_capacity_tokens", "service_rate", "utilization", "replicas_required", "estimate_valid")


@pytest.mark.parametrize("prefix", ["ray_vllm:", "vllm_", "ray_vllm_", "kserve_vllm:"])
def test_behind_another_prefix_it_is_the_same_engine(
    prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last digit."""
    plain, _ = replayed(tmp_path, lambda n: pages("steady")[n], capsys)
    other, said = replayed(tmp_path, lambda n: passed_on(pages("steady")[n], prefix=prefix), capsys)
    assert {k: other["0"].get(k) for k in NUMBERS} == {k: plain["0"].get(k) for k in NUMBERS}
    assert plain["0"]["service_rate"] > 0
    assert not said


@pytest.mark.long
@pytest.mark.parametrize("label", ["pod", "instance", "stage", "replica", "node", "rank", "anything_else"])
def test_servers_of_one_page_are_those_that_each_shows_alone(
    label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever label tells them apart."""
    alone = [replayed(tmp_path, lambda n, s=s: pages(s)[n], capsys)[0]["0"] for s in ("steady", "overload")]
    both, said = replayed(
        tmp_path,
        lambda n: (
            passed_on(pages("steady")[n], labels={label: "a"}) + passed_on(pages("overload")[n], labels={label: "b"})
        ),
        capsys,
    )
    assert len(both) == 2
    for engine, expected in zip(both.values(), alone, strict=True):
        assert {k: engine.get(k) for k in NUMBERS[:4]} == {k: expected.get(k) for k in NUMBERS[:4]}
    assert not said


def test_a_page_without_an_engine_is_explained_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A router's: beside objects without engines stands what it is, and from when on."""
    page = 'vllm:current_qps{server="http://a:8000"} 3.5\nvllm:num_requests_running{server="http://a:8000"} 4\n'
    engines, said = replayed(tmp_path, lambda _: page, capsys)
    assert not engines
    assert said.count("\n") == 1
    assert "from 08:00:00 on: it shows" in said
    assert "these are a router's or somebody's sums" in said


def test_an_engine_that_hangs_is_told_beside_the_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its state is in them, and both causes in words."""
    stuck = re.sub(r"(vllm:num_requests_waiting\{[^}]*\}) \S+", r"\1 3", pages("steady")[10])
    engines, said = replayed(tmp_path, lambda n: pages("steady")[n] if n < 10 else stuck, capsys)
    assert engines["0"]["engine_state"]["hung"] == 1
    assert said.count("\n") == 1
    assert "no counter has moved for a minute: it hangs, or (vLLM 0.11 and 0.12) its gauges were not cleared" in said
