"""What holds for all in the core that keeps state, found by looking: who adds a part gets these tests with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import signature
from typing import Any

import pytest

import kvwatch.core
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import Iteration, RequestStarted, Scrape
from tests.core.synthetic import SEATS_KNOWN, START, TARGET, SyntheticEngine, Watch, poisson
from tests.reflection import Feed, answers, classes_with, cyclic_garbage

LEARNERS = classes_with(kvwatch.core, "update")
"""All that takes what happened."""
KEPT = [c for c in classes_with(kvwatch.core, "dump") if list(signature(c.restore).parameters)[1:] == ["state"]]
"""All whose state outlives a restart of kvwatch by itself: ``Kept`` in ``core/part.py``."""
ASKED = [c for c in LEARNERS if hasattr(c, "get")]

FEEDS: Mapping[str, Feed] = {"now": lambda _, __: START}
"""What questions are asked with, besides what they have a default for."""


def watched(seconds: float) -> Watch:
    """An engine in overload and its logs, from the first sample on."""
    engine = SyntheticEngine(poisson(12, seconds, seed=5), seats=8)
    watch, told = Watch(engine, log_requests=True), 0
    for at in watch.seconds(seconds):
        while told < len(engine.asks) and engine.asks[told].at <= at:
            watch.fleet.observe(TARGET, RequestStarted(engine.asks[told].at))
            told += 1
        # a step a second is told of, as if the log of iterations were sampled
        watch.fleet.observe(TARGET, Iteration(at, int(at - START), 0, 0, 8, 8, 0.02, 0.1))
    return watch


@cache
def busy() -> Watch:
    """The engine that all tests look at; they must not change it."""
    return watched(300)


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
    state = plain(kept.dump())
    assert state
    fresh = at(unfed(), path)
    fresh.restore(state)
    assert plain(fresh.dump()) == state


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
    """Whether an answer has any value in it; one that is only a reason has none."""
    if isinstance(answer, Mapping):
        return any(_known(a) for a in answer.values())
    if hasattr(answer, "estimate"):
        return answer.estimate.value is not None
    return bool(answer)


def test_what_a_fleet_keeps_holds_no_cycles() -> None:
    """The garbage collector passes over what is old: a cycle in there would never be freed."""
    watched(30)  # what is made once for all
    assert cyclic_garbage(lambda: watched(120).fleet) == 0
