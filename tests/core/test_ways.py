"""How many files a reader opens who follows a number from the bytes of a scrape to the gauge of ρ: traced, not listed.

The numbers of a recorded scrape remember the modules that they come through (``tests/core/traced.py``) until their
digits are written. Two kinds of files do not count. Of a package that is entered by one module only that one does: what
it calls at home is read by whoever doubts its answer. And the formulas of ``stats`` and ``queueing`` are tools, which
know nothing of servers and say by their names what they return.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FrameType

import pytest

import kvwatch.core.capacity.kv_capacity as kv_capacity_module
import kvwatch.export.exposition as exposition_module
from kvwatch.core.fleet import Fleet
from kvwatch.core.interval import KvCapacity
from kvwatch.core.options import CoreOptions
from kvwatch.export.exposition import Exposition
from kvwatch.facts import EngineSample, Scrape
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.stats.step_law_fit import LawFit
from kvwatch.stats.step_regression import StepRegression
from tests.core.recordings import load
from tests.core.traced import doors, marked, way

ROOT = Path(__file__).parents[2]
MOST_FILES = {"λ": 9, "E[g]": 11, "b̄": 11, "M": 12}
"""λ is the numerator; the three others meet in μ, which is one file more, and the model of the full engine."""
TOOLS = ("kvwatch.stats.", "kvwatch.queueing.")
SCRAPES = 300
"""Until all four are known, and λ over a minute."""


def followed(sample: EngineSample) -> EngineSample:
    """A sample whose counters and gauges are marked by what they go into first."""
    inside = {name: marked(getattr(sample, name), "λ") for name in ("running", "waiting", "finished")}
    usage, steps = marked(sample.kv_usage_ratio or 0.0, "E[g]"), marked(sample.steps or 0.0, "b̄")
    return replace(sample, **inside, kv_usage_ratio=usage, steps=steps)  # type: ignore[arg-type]


@cache
def ways() -> Mapping[str, frozenset[str]]:
    """By mark, the modules between the sample and the digits of ``kvwatch_utilization``."""
    learnt: set[str] = set()
    update, seconds, number = StepRegression.update, LawFit.seconds, exposition_module._number
    written: dict[str, Mapping[str, frozenset[str]]] = {}

    def regress(self: StepRegression, composition: tuple[float, ...], took: float, weight: float = 1.0) -> None:
        if isinstance(took, float) and hasattr(took, "ways"):
            learnt.update(way(took, "b̄"))
        update(self, composition, took, weight)  # type: ignore[arg-type]

    def write(value: float) -> str:
        if hasattr(value, "ways"):
            # the engine's gauges come first; the model's, over one engine, has the same digits
            written.setdefault(number(value), {mark: way(value, mark) for mark in value.ways})
        return number(value)

    with pytest.MonkeyPatch.context() as patch:
        # what a conversion or a matrix swallows is marked again where it comes out
        patch.setattr(
            kv_capacity_module, "KvCapacity", lambda tokens, *a, **k: KvCapacity(marked(tokens, "M"), *a, **k)
        )
        patch.setattr(StepRegression, "update", regress)
        patch.setattr(LawFit, "seconds", lambda law, step: marked(float(seconds(law, step)), "law", learnt))
        patch.setattr(exposition_module, "_number", write)
        recording = load("chat")
        fleet = Fleet(CoreOptions())
        fleet.add("server", recording.settings)
        for scrape in recording.scrapes[:SCRAPES]:
            engines = tuple(followed(sample) for sample in scrape.engines)
            fleet.observe("server", Scrape(at=scrape.at, engines=engines))
        text, _ = Exposition(lambda: fleet.view(scrape.at)).text()
    (digits,) = re.findall(r'^kvwatch_utilization{.*window="1m"} (.*)$', text.decode(), re.MULTILINE)
    found = dict(written[digits])
    return found | {"b̄": found.pop("law")}


def files(mark: str) -> list[str]:
    """What a reader opens to follow a number from the bytes on, as paths."""
    opened = {*ways()[mark], *parsed_by(), "kvwatch.core.reader"}
    return sorted(f"{module.replace('.', '/')}.py" for module in opened if not module.startswith(TOOLS))


@cache
def parsed_by() -> frozenset[str]:
    """Modules by which bytes become a sample, by watching all calls."""
    body = b'vllm:num_requests_running{engine="0",model_name="m"} 3\n'
    reader, entered = ExpositionReader(), set()

    def see(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            entered.update(doors(1, frame))

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        scrape = reader.read(body, 1.0)
    finally:
        sys.setprofile(before)
    assert scrape.engines[0].running == 3
    return frozenset(entered) - {"kvwatch.facts"}


@pytest.mark.parametrize(("mark", "most"), MOST_FILES.items())
def test_a_number_is_followed_from_the_bytes_to_the_gauge_of_utilization_in_few_files(mark: str, most: int) -> None:
    """Nine for λ; who adds a file to a way takes another away, or says here why it is worth one more."""
    assert len(files(mark)) <= most, files(mark)


def test_the_files_that_the_architecture_lists_are_those_that_the_numbers_come_through() -> None:
    """In ARCHITECTURE.md those of λ have numbers, in the order in which a reader opens them; the others' follow."""
    document = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. `(kvwatch/\S+\.py)`: ", document, re.MULTILINE)
    assert sorted(listed) == files("λ")
    own = {mark: set(re.findall(r"`(kvwatch/\S+\.py)`", line)) for mark, line in _others(document)}
    own["M"] |= own["E[g]"]
    shared = {*listed} - {"kvwatch/core/traffic/arrival_rate.py"}
    assert {mark: sorted(shared | paths) for mark, paths in own.items()} == {
        m: files(m) for m in MOST_FILES if m != "λ"
    }


def _others(document: str) -> list[tuple[str, str]]:
    """Of the numbers that meet in μ, each and what stands behind it."""
    return re.findall(r"^- (\S+): (`kvwatch/.*)$", document, re.MULTILINE)


def test_each_quantity_comes_through_the_module_that_bears_its_name() -> None:
    """λ, M and μ by their own; E[g] by the room that has it, and b̄ by the law that it is read from."""
    assert "kvwatch/core/traffic/arrival_rate.py" in files("λ")
    assert "kvwatch/core/capacity/kv_capacity.py" in files("M")
    for mark in ("M", "b̄", "E[g]"):
        assert "kvwatch/core/capacity/service_rate.py" in files(mark)
    assert "kvwatch/core/capacity/service_rate.py" not in files("λ")
    assert all("kvwatch/core/capacity/utilization.py" in files(mark) for mark in MOST_FILES)
