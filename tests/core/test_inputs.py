"""An estimate is as old as its oldest input: where one stops coming while the scrapes go on, it is withheld."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample
from tests.core.synthetic import SyntheticEngine, Watch, poisson


class Server:
    """A server that leaves out some of its metrics from some time on."""

    def __init__(self) -> None:
        self.left_out: tuple[str, ...] = ()

    def show(self, sample: EngineSample) -> EngineSample:
        """The sample without them."""
        return replace(sample, **dict.fromkeys(self.left_out))  # type: ignore[arg-type]


def ramp() -> tuple[Watch, Server]:
    """An engine that is watched for two minutes, with traffic that then doubles."""
    server = Server()
    traffic = poisson(lambda seconds: 4.0 if seconds < 120 else 8.0, 400, seed=3)
    return Watch(SyntheticEngine(traffic), show=server.show), server


@pytest.mark.parametrize("metric", ["running", "waiting", "finished"])
def test_the_arrival_rate_is_withheld_when_one_of_its_inputs_vanishes_and_comes_back_with_it(metric: str) -> None:
    """Within three scrape intervals it is what it was; then unknown, with all that rests on it, and the reason."""
    watch, server = ramp()
    assert watch.run(120).utilization.value
    server.left_out = (metric,)
    assert watch.run(3).arrival_rate.value
    view = watch.run(1)
    assert not view.arrival_rate.value
    assert view.arrival_rate.verdict is Reason.METRIC_MISSING
    assert set(view.arrival_rate.verdicts.values()) == {Reason.METRIC_MISSING}
    assert not view.utilization.value
    assert view.time_to_saturation_seconds is None
    assert view.stability_margin is None
    watch.run(100)
    server.left_out = ()
    view = watch.run(1)
    assert view.arrival_rate.value
    assert view.arrival_rate.verdict is not Reason.METRIC_MISSING


def test_what_arrived_while_an_input_was_away_is_counted_once_it_is_back() -> None:
    """Counters go on meanwhile, so the balance over the gap is right: it does not show the rate of before."""
    watch, server = ramp()
    before = watch.run(120).arrival_rate.value["1m"]
    server.left_out = ("running",)
    watch.run(60)
    server.left_out = ()
    after = watch.run(1).arrival_rate.value["1m"]
    assert after == pytest.approx(8.0, rel=0.25)  # 480 arrivals, counted to 5%; four standard deviations and a step
    assert after > 1.5 * before


@pytest.mark.parametrize(
    "metric", ["steps", "prompt_tokens", "generation_tokens", "request_prompt_tokens", "request_generation_tokens"]
)
def test_the_service_rate_is_withheld_when_what_it_is_learnt_from_vanishes(metric: str) -> None:
    """μ goes, and ρ with it; λ, which does not need the metric, stays."""
    watch, server = ramp()
    assert watch.run(120).service_rate.value
    server.left_out = (metric,)
    view = watch.run(4)
    assert view.service_rate.value is None
    assert view.service_rate.verdict is Reason.METRIC_MISSING
    assert not view.utilization.value
    assert view.arrival_rate.value
    server.left_out = ()
    assert watch.run(1).service_rate.value


def test_the_step_time_and_the_queue_s_trend_say_so_too() -> None:
    """Each by its own input."""
    watch, server = ramp()
    watch.run(120)
    server.left_out = ("steps",)
    assert watch.run(4).step_seconds.verdict is Reason.METRIC_MISSING
    server.left_out = ("waiting",)
    assert watch.run(4).queue_slope.verdict is Reason.METRIC_MISSING


def test_a_metric_that_was_never_there_is_not_waited_for() -> None:
    """An older vLLM has its estimates from what it shows; a newer one that is started in its place likewise."""
    watch, server = ramp()
    server.left_out = ("request_prompt_tokens", "request_generation_tokens")
    view = watch.run(120)
    assert view.service_rate.verdict is Reason.METRIC_MISSING
    assert view.arrival_rate.value
