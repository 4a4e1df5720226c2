"""What a browser is sent: all once, then only what has changed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from kvwatch.core.engine_signs import one_state
from kvwatch.core.engine_state import EngineState
from kvwatch.estimate import UNKNOWN, Estimate
from kvwatch.page.feed import LONGEST_TEXT, MOST_SILENT, Feed
from kvwatch.views import EngineView, FleetView, ModelView, TargetView
from tests.export.full_view import fleet, full_engine


def told(feed: Feed, since: int, seen: set[str]) -> dict[str, list[dict[str, object]]]:
    """An event as a browser reads it."""
    return json.loads(feed.changes(since, seen))


def test_the_first_event_has_every_engine_and_the_next_only_what_changed() -> None:
    """By engine, and nothing of one whose view is the same."""
    one, two = full_engine(engine="1"), full_engine(engine="2")
    feed, seen = Feed(), set[str]()
    feed.update(fleet(one, two))
    assert len(told(feed, 0, seen)["engines"]) == 2
    version = feed.version
    feed.update(fleet(one, replace(two, queue_length=9.0)))
    assert [engine["engine"] for engine in told(feed, version, seen)["engines"]] == ["2"]
    feed.update(fleet(one))
    event = told(feed, feed.version, seen)
    assert event["engines"] == []
    assert len(event["gone"]) == 1


def test_a_change_that_nobody_sees_is_not_sent() -> None:
    """Numbers are rounded to what the table shows."""
    feed, seen = Feed(), set[str]()
    engine = replace(full_engine(), service_rate=Estimate(10.0001))
    feed.update(fleet(engine))
    told(feed, 0, seen)
    version = feed.version
    feed.update(fleet(replace(engine, service_rate=Estimate(10.0002))))
    assert told(feed, version, seen)["engines"] == []


def test_an_engine_has_been_in_its_state_since_it_was_first_seen_in_it() -> None:
    """Numbers may change meanwhile; another state, and the same again, begin anew."""
    feed, told_since = Feed(), []
    for at, state, waiting in (
        (100.0, EngineState.FINE, 1.0),
        (105.0, EngineState.OVERLOADED, 2.0),
        (110.0, EngineState.OVERLOADED, 3.0),
        (115.0, EngineState.FINE, 0.0),
        (120.0, EngineState.OVERLOADED, 4.0),
    ):
        engine = replace(full_engine(), engine_state=one_state(state), queue_length=waiting)
        feed.update(FleetView(at, (TargetView("localhost:8000", True, 0.1, 0.1, (engine,)),), ()))
        (row,) = told(feed, 0, set())["engines"]
        told_since.append(row["since"])
    assert told_since == [100, 105, 105, 115, 120]


def test_a_change_of_the_model_changes_its_engines() -> None:
    """Replicas stand in each row, and come from the model."""
    feed, seen = Feed(), set[str]()
    engine = full_engine()
    target = TargetView("localhost:8000", True, 0.1, 0.1, (engine,))
    for required in (1.0, 2.0):
        version = feed.version
        feed.update(FleetView(0.0, (target,), (ModelView("llama", "", required, 1.0),)))
        (row,) = told(feed, version, seen)["engines"]
        assert (row["replicas_required"], row["replicas"]) == (required, 1.0)


def test_a_change_of_why_a_model_needs_replicas_changes_what_is_said_of_its_engines() -> None:
    """The number stays two, and what makes it so is another thing."""
    feed, seen = Feed(), set[str]()
    engine = replace(full_engine(), engine_state={"overloaded": 1.0}, recommended_max_num_seqs=UNKNOWN)
    target = TargetView("localhost:8000", True, 0.1, 0.1, (engine,))
    for reason, words in (("trend", "the trend of the load"), ("backlog", "what waits")):
        version = feed.version
        feed.update(FleetView(0.0, (target,), (ModelView("llama", "", 2.0, 1.0, {reason: 1.0}),)))
        (row,) = told(feed, version, seen)["engines"]
        assert words in str(row["action"])


def test_what_is_unknown_or_not_finite_is_left_out() -> None:
    """JSON has no NaN, and a browser would throw at one."""
    feed = Feed()
    feed.update(fleet(EngineView("a:1", "m", "0", service_rate=Estimate(math.nan), queue_length=math.inf)))
    (row,) = told(feed, 0, set())["engines"]
    assert row["state"] == "unknown"
    assert not {"service_rate", "waiting", "load"} & row.keys()


def test_events_are_bounded_whatever_servers_say() -> None:
    """Names of a megabyte are cut, and of a thousand dead servers some are named."""
    long = "x" * 1_000_000
    down = tuple(TargetView(f"{number}:1", False, None, None, (), long) for number in range(1000))
    live = TargetView(long, True, 0.1, 0.1, (full_engine(target="a:1", model_name=long),))
    feed = Feed()
    feed.update(FleetView(0.0, (live, *down)))
    event = told(feed, 0, set())
    assert event["silent_count"] == 1000
    assert len(event["silent"]) == MOST_SILENT
    assert all(len(str(target["problem"])) <= LONGEST_TEXT for target in event["silent"])
    assert len(str(event["engines"][0]["model_name"])) <= LONGEST_TEXT
