"""A log or a trace that contradicts the engine's own counters loses; one that fits them is used as before."""

from __future__ import annotations

import pytest

from kvwatch.facts import RequestRecord
from tests.core.synthetic import TARGET, SyntheticEngine, Watch, poisson


def watched(seconds: float = 300, *, logged: bool) -> Watch:
    """An engine at a steady load, with its own log or without."""
    watch = Watch(SyntheticEngine(poisson(5.0, 900, seed=4)), log_requests=logged)
    watch.run(seconds)
    return watch


def forge(watch: Watch, count: int, prompt: int = 1, output: int = 1) -> None:
    """Requests that nobody made, by the way of the true ones: anybody may report some to an open receiver of traces."""
    for number in range(count):
        finish = watch.at - 0.001 * number
        watch.fleet.observe(TARGET, RequestRecord(finish - 0.01, finish, prompt, output))


@pytest.mark.long
@pytest.mark.parametrize("count", [12, 60, 300, 3000])
@pytest.mark.parametrize("logged", [False, True], ids=["without a log", "beside a true log"])
def test_forged_requests_do_not_move_the_service_rate(count: int, logged: bool) -> None:
    """Tiny ones that would raise μ fifty times: at no scrape of the next two minutes is it far from what it was."""
    watch = watched(logged=logged)
    before = watch.view().service_rate.value
    assert before is not None
    forge(watch, count)
    assert watch.view().service_rate.value == pytest.approx(before, rel=0.35)  # before the next scrape
    for _ in watch.seconds(120):
        rate = watch.view().service_rate.value
        assert rate == pytest.approx(before, rel=0.35)  # the traffic's own spread over two minutes


def test_forged_giants_do_not_lower_it() -> None:
    """Lengths that are too long contradict the counters as well as those that are too short."""
    watch = watched(logged=False)
    before = watch.view().service_rate.value
    forge(watch, 100, prompt=3000, output=1000)
    for _ in watch.seconds(20):
        assert watch.view().service_rate.value == pytest.approx(before, rel=0.35)


def test_a_log_that_fits_is_used_and_a_sampled_one_too() -> None:
    """Of all requests, and of every fifth."""
    watch = watched(logged=True)
    assert "joint" in watch.view().request_demand_token_steps.value
    sampled = Watch(SyntheticEngine(poisson(5.0, 900, seed=4)))
    taken = 0
    for _ in sampled.seconds(600):
        for record in sampled.engine.records[taken:][::5]:
            sampled.fleet.observe(TARGET, record)
        taken = len(sampled.engine.records)
    assert "joint" in sampled.view().request_demand_token_steps.value


def test_a_true_log_is_used_again_once_the_forged_requests_have_left_the_window() -> None:
    """Two minutes after the last of them, and with as many true ones as a mean needs."""
    watch = watched(logged=True)
    forge(watch, 300)
    assert "joint" not in watch.run(5).request_demand_token_steps.value
    assert "joint" in watch.run(240).request_demand_token_steps.value
