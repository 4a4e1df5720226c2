"""A gauge of memory in use that is no share is named, and nothing rests on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample
from tests.core.synthetic import SyntheticEngine, Watch, poisson


def changed(usage: Callable[[float], float]) -> Callable[[EngineSample], EngineSample]:
    """A server that shows another usage than it has."""
    return lambda s: replace(s, kv_usage_ratio=usage(s.kv_usage_ratio or 0.0))


FAULTS = {
    "offset": changed(lambda usage: usage - 0.6),
    "offset, in range when busy": changed(lambda usage: 3 * usage - 0.1),
    "percent": changed(lambda usage: 100 * usage),
    "twice": changed(lambda usage: 20 * usage),
}


@pytest.mark.parametrize("show", FAULTS.values(), ids=FAULTS)
def test_a_usage_out_of_range_is_named_and_nothing_rests_on_it(show: Callable[[EngineSample], EngineSample]) -> None:
    """From its third such value on it is neither exported nor learnt from, in range or out of it.

    What was learnt from it before is forgotten, and it is not the traffic that is blamed.
    """
    watch, proofs = Watch(SyntheticEngine(poisson(10, 240)), show=show), 0
    for _ in watch.seconds(240):
        shown = show(watch.engine.sample()).kv_usage_ratio
        proofs += shown is not None and not 0 <= shown <= 1
        view = watch.view()
        assert proofs < 3 or view.service_rate.value is None
    assert view.kv_usage_ratio is None
    assert view.service_rate.value is None
    assert view.service_rate.verdict is Reason.KV_USAGE_OUT_OF_RANGE
    assert view.utilization.verdict is Reason.KV_USAGE_OUT_OF_RANGE
    assert not view.utilization.value
    assert view.arrival_rate.value, "arrivals do not rest on it"
    assert view.kv_capacity_tokens.verdict is Reason.OK, "M is not worked out from it either"
    assert view.engine_state["unknown"] == 1


def test_one_torn_value_is_left_out_and_no_more() -> None:
    """A single line that is damaged does not cost the gauge."""
    watch = Watch(SyntheticEngine(poisson(10, 240)))
    watch.run(100)
    watch.show = changed(lambda _: 7.5)
    watch.run(1)
    watch.show = lambda sample: sample
    view = watch.run(100)
    assert view.kv_usage_ratio is not None
    assert view.service_rate.verdict is Reason.OK


def test_a_server_that_restarts_with_the_gauge_mended_is_believed() -> None:
    """Another version, another chance."""
    engine = SyntheticEngine(poisson(10, 400))
    watch = Watch(engine, show=FAULTS["percent"])
    watch.run(100)
    engine.restart()
    watch.show = lambda sample: sample
    assert watch.run(120).service_rate.value is not None
