"""Which engine a fact of a log is about: the only one, the one that it names, or none where it may be several."""

from __future__ import annotations

import pytest

from kvwatch.core.log_router import LogRouter
from kvwatch.facts import EngineKey, Iteration, RequestAborted, RequestRecord, RequestStarted


class Listening:
    """Stands for an engine: notes what it is handed."""

    def __init__(self) -> None:
        self.requests: list[tuple[RequestRecord, float, float]] = []
        self.starts: list[tuple[RequestStarted | RequestAborted, float]] = []
        self.steps: list[Iteration] = []

    def observe_request(self, record: RequestRecord, now: float, share: float) -> None:
        """A request, the newest scrape's time, and the engine's share of it."""
        self.requests.append((record, now, share))

    def observe_start(self, fact: RequestStarted | RequestAborted, now: float) -> None:
        """A request that started, or was given up."""
        self.starts.append((fact, now))

    def observe_iteration(self, step: Iteration) -> None:
        """A step."""
        self.steps.append(step)

    @property
    def handed(self) -> int:
        """How many facts it was handed."""
        return len(self.requests) + len(self.starts) + len(self.steps)


def engines(*keys: tuple[str, str]) -> dict[EngineKey, Listening]:
    """Engines of these models and numbers."""
    return {EngineKey(*key): Listening() for key in keys}


def hand(router: LogRouter, fact: object, to: dict[EngineKey, Listening], now: float = 1.0) -> list[Listening]:
    """Hand a fact on while all engines are shown."""
    router.take(fact, to, list(to), now)  # type: ignore[arg-type]
    return list(to.values())


def record(**names: str) -> RequestRecord:
    """A request of ten prompt and five output tokens."""
    return RequestRecord(10.0, 11.0, 10, 5, **names)


STEP = Iteration(10.0, 7, 0, 0, 3, 3, 0.02)
STEP_OF_SEVEN = Iteration(10.0, 7, 0, 0, 3, 3, 0.02, engine="7")
START, ABORT = RequestStarted(10.0), RequestAborted(10.0)


def test_all_facts_of_a_server_of_one_engine_are_about_it() -> None:
    """Whatever model it serves, and also where the newest scrape has missed it: the whole of each request."""
    for shown in ([EngineKey("m", "0")], []):
        router, known = LogRouter(), engines(("m", "0"))
        for fact in (record(), START, ABORT, STEP):
            router.take(fact, known, shown, 1.0)  # type: ignore[arg-type]
        (engine,) = known.values()
        assert engine.requests == [(record(), 1.0, 1.0)]
        assert engine.starts == [(START, 1.0), (ABORT, 1.0)]
        assert engine.steps == [STEP]
        assert router.unattributed == 0


@pytest.mark.parametrize("count", [2, 3])
def test_a_request_of_one_of_several_engines_is_a_part_of_each(count: int) -> None:
    """An even share: so the lengths are those of all of them, and their sum is counted once."""
    router = LogRouter()
    for engine in hand(router, record(), engines(*(("m", str(i)) for i in range(count)))):
        assert engine.requests == [(record(), 1.0, 1 / count)]
    assert router.unattributed == 0


@pytest.mark.parametrize("fact", [START, ABORT, STEP])
def test_a_line_that_may_be_about_several_engines_is_about_none(fact: object) -> None:
    """An arrival or a step is one engine's, and a wrong guess would be counted twice."""
    router = LogRouter()
    assert not any(e.handed for e in hand(router, fact, engines(("m", "0"), ("m", "1"))))
    assert router.unattributed == 1


def test_a_fact_that_names_its_engine_goes_there() -> None:
    """By the engine's number or by the model; a request that may be of two models is of none."""
    router, known = LogRouter(), engines(("m", "0"), ("m", "1"), ("n", "0"))
    named = RequestStarted(10.0, engine="1")
    zero, one, other = hand(router, named, known)
    assert (zero.handed, one.starts, other.handed) == (0, [(named, 1.0)], 0)
    hand(router, record(model_name="n"), known)
    assert [e.handed for e in (zero, one, other)] == [0, 1, 1]
    assert router.unattributed == 0
    hand(router, record(), known)
    assert [e.handed for e in (zero, one, other)] == [0, 1, 1]
    assert router.unattributed == 1


def test_of_several_engines_one_that_is_not_shown_any_more_gets_nothing() -> None:
    """Only one of two that were known is in the newest scrape: the whole request is its."""
    router, known = LogRouter(), engines(("m", "0"), ("m", "1"))
    gone, there = known.values()
    router.take(record(), known, [EngineKey("m", "1")], 1.0)  # type: ignore[arg-type]
    assert (gone.requests, there.requests) == ([], [(record(), 1.0, 1.0)])


@pytest.mark.parametrize(
    "fact", [record(model_name="n"), record(engine="7"), RequestStarted(10.0, engine="7"), STEP_OF_SEVEN]
)
def test_a_fact_about_an_engine_that_is_not_there_is_counted_and_left(fact: object) -> None:
    """A gateway's log may tell of other servers, too."""
    router = LogRouter()
    (alone,) = hand(router, fact, engines(("m", "0")))
    assert (alone.handed, router.unattributed) == (0, 1)


def test_what_comes_before_the_first_scrape_waits_for_it() -> None:
    """In its order, and no more than 4,096 of it; whatever it tells of has been by then."""
    router, known = LogRouter(), engines(("m", "0"))
    facts = [RequestStarted(float(at)) for at in range(4100)]
    for fact in facts:
        router.take(fact, {}, [], 0.0)
    router.take_early({}, [], 0.0)
    router.take_early(known, list(known), 0.0)  # type: ignore[arg-type]
    (engine,) = known.values()
    assert engine.starts == [(fact, float("inf")) for fact in facts[4:]]
    router.take_early(known, list(known), 1.0)  # type: ignore[arg-type]
    assert engine.handed == 4096
