"""What holds for all in the core that keeps state, found by looking: who adds a part gets these tests with it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from inspect import Parameter, signature
from typing import Any

import pytest

import kvwatch.core
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.view import engine_view
from kvwatch.facts import EngineKey, Iteration, RequestRecord, RequestStarted, Scrape
from tests.core.synthetic import SEATS_KNOWN, START, TARGET, SyntheticEngine, Watch, poisson
from tests.reflection import Feed, answers, classes_with, cyclic_garbage, writers

LEARNERS = classes_with(kvwatch.core, "update")
"""All that takes what happened."""
KEPT = classes_with(kvwatch.core, "dump")
"""All whose state outlives a restart of kvwatch, from the fleet down to a window of lengths."""
ASKED = [c for c in LEARNERS if hasattr(c, "get")]
PARTS = [c for c in LEARNERS if hasattr(c, "begin_anew") and hasattr(c, "get")]
"""All that are asked by time alone: ``Part`` in ``core/part.py``."""

FEEDS: Mapping[str, Feed] = {"now": lambda _, __: START}
"""What questions are asked with, besides what they have a default for."""


def watched(seconds: float, between: Callable[[Watch], object] = lambda _: None) -> Watch:
    """An engine in overload and its logs, from the first sample on; ``between`` its facts something may be asked."""
    engine = SyntheticEngine(poisson(12, seconds, seed=5), seats=8)
    watch, told = Watch(engine, log_requests=True), 0
    for at in watch.seconds(seconds):
        between(watch)
        while told < len(engine.asks) and engine.asks[told].at <= at:
            watch.fleet.observe(TARGET, RequestStarted(engine.asks[told].at))
            told += 1
        # a step a second is told of, as if the log of iterations were sampled
        watch.fleet.observe(TARGET, Iteration(at, int(at - START), 0, 0, 8, 8, 0.02, 0.1))
        between(watch)
    return watch


@cache
def busy() -> Watch:
    """The engine that all tests look at; they must not change it. Its fleet is looked at now and then."""
    return watched(300, lambda watch: watch.view() if watch.at % 15 == 0 else None)


def parts(root: object) -> dict[type, tuple[str, Any]]:
    """The first instance of every class of kvwatch that can be reached from an object, and how it is reached."""
    found: dict[type, tuple[str, Any]] = {}
    for path, member in _reachable(root, "", set()):
        found.setdefault(type(member), (path, member))
    return found


def at(root: object, path: str) -> Any:
    """What is reached in the same way from another object."""
    return next(member for other, member in _reachable(root, "", set()) if other == path)


def _reachable(member: object, path: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    if id(member) in seen or isinstance(member, (str, bytes, int, float, type)):
        return
    seen.add(id(member))
    inner: Mapping[object, object] = {}
    if isinstance(member, Mapping):
        inner = member
    elif isinstance(member, (list, tuple)):
        inner = dict(enumerate(member))
    elif type(member).__module__.startswith("kvwatch."):
        yield path, member
        names = [*getattr(member, "__dict__", {}), *getattr(type(member), "__slots__", ())]
        inner = {name: getattr(member, name, None) for name in names}
    for name, other in inner.items():
        yield from _reachable(other, f"{path}/{name}", seen)


def unfed() -> Fleet:
    """A fleet that has seen one sample of an engine that never did anything."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    fleet.observe(TARGET, Scrape(at=START + 1, engines=(SyntheticEngine([]).sample(),)))
    fleet.view(START + 1)
    return fleet


def plain(state: object) -> Any:
    """A state as it comes back from a file."""
    return json.loads(json.dumps(state))


def test_all_that_keeps_state_belongs_to_a_fleet() -> None:
    """What nothing holds is tested by nothing here, and used by nobody."""
    busy().view()
    held = set(parts(busy().fleet))
    assert [c.__name__ for c in {*LEARNERS, *KEPT} if c not in held] == []
    assert len(LEARNERS) > 15
    assert len(KEPT) > 8


@pytest.mark.parametrize("part", KEPT, ids=lambda c: c.__name__)
def test_a_restored_state_is_the_one_that_was_dumped(part: type) -> None:
    """Through JSON, into a part that has seen nothing: what is dumped again is the same to the digit."""
    busy().view()
    path, kept = next((p, m) for p, m in _reachable(busy().fleet, "", set()) if type(m) is part and _is_kept(p))
    state = plain(dumped(kept))
    assert state
    fresh = at(unfed(), path)
    restore(fresh, state)
    assert plain(dumped(fresh)) == state


def dumped(kept: Any) -> object:
    """What it keeps; some ask for the time of the last sample."""
    return kept.dump(**dict.fromkeys(signature(kept.dump).parameters, START + 1))


def restore(kept: Any, state: Any) -> None:
    """Take up a state at the end of the run: at one go, by target, or as several arguments."""
    names = list(signature(kept.restore).parameters)
    when = {"now": busy().at} if "now" in names else {}
    if names[0] == "target":
        for target, states in state.items():
            kept.restore(target, states, **when)
    elif len(names) - len(when) > 1:
        kept.restore(*state, **when)
    else:
        kept.restore(state, **when)


def _is_kept(path: str) -> bool:
    """The window of lengths that is kept is that of the mix, not the short one."""
    return not path.endswith("/lengths")


@pytest.mark.parametrize("part", ASKED, ids=lambda c: c.__name__)
def test_before_any_data_nothing_is_known(part: type) -> None:
    """Every part that is asked answers None, or with nothing in it, before the first sample."""
    engine = EngineEstimator(CoreOptions())
    found = parts(engine)
    if part not in found:
        pytest.skip("is made with the first data")
    answer = answers(found[part][1], FEEDS).get("get")
    assert not _known(answer), answer


def _known(answer: object) -> bool:
    """Whether an answer has any value in it; one that is only a reason, or a list without entries, has none."""
    if isinstance(answer, Mapping):
        return any(_known(a) for a in answer.values())
    if hasattr(answer, "estimate"):
        return answer.estimate.value is not None
    if is_dataclass(answer):
        values = [getattr(answer, field.name) for field in fields(answer)]
        return (
            any(values)
            if not any(isinstance(v, (tuple, Mapping)) for v in values)
            else any(_known(v) for v in values if isinstance(v, (tuple, Mapping)))
        )
    return bool(answer)


@pytest.mark.parametrize("part", PARTS, ids=lambda c: c.__name__)
def test_a_part_is_asked_by_time_alone(part: type) -> None:
    """One way for all: ``get(now)``. What follows from other answers too is a function of those."""
    asked = list(signature(part.get).parameters.values())[1:]
    assert [p.name.lstrip("_") for p in asked] == ["now"]
    assert asked[0].default is Parameter.empty


def test_every_part_of_an_engine_is_asked_in_that_way() -> None:
    """A dozen, and the list of the engine holds no other."""
    engine = EngineEstimator(CoreOptions())
    assert {type(part) for part in engine._parts} <= set(PARTS)
    assert len(engine._parts) > 10


def engine_of(watch: Watch) -> EngineEstimator:
    """The one engine that is watched."""
    _, found = parts(watch.fleet)[EngineEstimator]
    assert isinstance(found, EngineEstimator)
    return found


def everything_said(engine: EngineEstimator, now: float) -> dict[str, Any]:
    """The answers of all that the engine holds, its view, and what it would keep, as text that compares."""
    feeds: Mapping[str, Feed] = {"now": lambda _, __: now}
    said: dict[str, Any] = {}
    for path, member in _reachable(engine, "", set()):
        if type(member) in (*LEARNERS, *KEPT) and member is not engine:
            asked = answers(member, {**feeds, "_now": feeds["now"]})
            asked.pop("take_due_run", None)  # an errand that is handed out once, and no question
            said |= {f"{path}.{name}": repr(answer) for name, answer in asked.items()}
    key = EngineKey("m", "0")
    return said | {"view": repr(engine_view(TARGET, key, engine, CoreOptions())), "dump": repr(engine.dump())}


@pytest.mark.long
def test_asking_changes_nothing() -> None:
    """Of two engines with the same facts one is asked all the time, at any time, and twice: both say and keep the same.

    Views, dumps and every part's answers, before and after each fact, while the queue, the mix and the law are learnt.
    """
    source = random.Random(7)

    def ask(watch: Watch) -> None:
        found = parts(watch.fleet).get(EngineEstimator)
        if found is not None and source.random() < 0.2:
            now = watch.at + source.choice((0.0, 0.3, 20.0, 4000.0))
            assert everything_said(found[1], now) == everything_said(found[1], now)

    asked, left_alone = watched(150, ask), watched(150)
    first, second = (everything_said(engine_of(watch), watch.at) for watch in (asked, left_alone))
    assert len(first) > 40
    assert {name for name in first if first[name] != second[name]} == set()


DEEDS = ("update", "add", "admit", "keep", "leave", "read", "take")
"""How a method begins that changes its object and says something."""
MEMORIES = {
    "Population.get": "works E[g] out once for several who ask",
    "Fleet.view": "what is known of whole models follows from views, and goes on with each",
}
"""Those that are asked and write all the same."""


def test_no_getter_writes() -> None:
    """A method that changes what it belongs to is named for what it does, so that whoever reads it asks with care."""
    found = writers(kvwatch.core)
    assert len(found) > 20
    assert {name for name in found if name.partition(".")[2].split("_")[0] not in DEEDS} == set(MEMORIES)


def test_what_a_log_shows_after_a_scrape_counts_whether_or_not_somebody_has_looked() -> None:
    """Ten requests come between two scrapes: the view says the same where one was made before them."""
    looked, not_looked = (Watch(SyntheticEngine(poisson(12, 90, seed=5), seats=8), log_requests=True) for _ in range(2))
    for watch in (looked, not_looked):
        watch.run(60) if watch is looked else list(watch.seconds(60))
        for number in range(10):
            watch.fleet.observe(TARGET, RequestRecord(watch.at - 5, watch.at - number / 9, 1500, 900))
    assert repr(looked.view()) == repr(not_looked.view())


def test_what_a_fleet_keeps_holds_no_cycles() -> None:
    """The garbage collector passes over what is old: a cycle in there would never be freed."""
    watched(30)  # what is made once for all
    assert cyclic_garbage(lambda: watched(120).fleet) == 0
