"""A metric that two others contradict is left out, and named; without a fault nothing is.

Each fault is put in front of an engine whose numbers fit together, and the truth is known: the numbers of the same
engine without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kvwatch.core.conservation.refuted import Refuted
from kvwatch.core.conservation.words import sentences
from kvwatch.estimate import Reason
from kvwatch.facts import SGLANG, EngineSample, Histogram
from kvwatch.views import EngineView
from tests.core.recordings import NAMES, load
from tests.core.synthetic import START, SyntheticEngine, Watch, poisson

RATE = 10.0
QUIET = 1.2
"""Arrivals of an engine that has nothing to do a fifth of the time [requests/s]."""
SECONDS = 300
LOOK_SCRAPES = 4
"""From one look at the views to the next; it divides all lengths of runs here."""
Show = Callable[[EngineSample], EngineSample]


def times(factor: float, *fields: str) -> Show:
    """A server that shows these numbers so many times as large."""
    return lambda s: replace(s, **{f: getattr(s, f) * factor for f in fields})


def lengths(field: str, total: float = 1.0, count: float = 1.0) -> Show:
    """A server whose histogram has another sum, or counts other requests."""

    def show(sample: EngineSample) -> EngineSample:
        found: Histogram = getattr(sample, field)
        assert found.total is not None
        assert found.count is not None
        changed: dict[str, Any] = {field: replace(found, total=found.total * total, count=found.count * count)}
        return replace(sample, **changed)

    return show


def with_steps(sample: EngineSample) -> EngineSample:
    """The tokens of all steps, as vLLM counts them: prompts that were computed, and what was generated."""
    assert sample.generation_tokens is not None
    return replace(sample, step_tokens=(sample.prompt_tokens or 0.0) + sample.generation_tokens)


@dataclass(frozen=True)
class Fault:
    """What the server shows, and the field that is to be blamed."""

    show: Show
    field: str
    rate: float = RATE


FAULTS = {
    "usage stuck at 0": Fault(lambda s: replace(s, kv_usage_ratio=0.0), "kv_usage_ratio"),
    "usage stuck at a half": Fault(lambda s: replace(s, kv_usage_ratio=0.5), "kv_usage_ratio"),
    "usage stuck at 1": Fault(lambda s: replace(s, kv_usage_ratio=1.0), "kv_usage_ratio"),
    "the share that is free": Fault(
        lambda s: replace(s, kv_usage_ratio=1 - (s.kv_usage_ratio or 0.0)), "kv_usage_ratio"
    ),
    "a tenth of the steps": Fault(times(0.1, "steps"), "steps"),
    "half of the steps": Fault(times(0.5, "steps"), "steps"),
    "milliseconds": Fault(times(1000, "inter_token_seconds_sum"), "inter_token_seconds_sum"),
    "a tenth of the requests run": Fault(times(0.1, "running"), "running"),
    "twice as many requests run": Fault(times(2, "running"), "running"),
    "thirty more run": Fault(lambda s: replace(s, running=(s.running or 0.0) + 30), "running"),
    "half of the steps of a quiet engine": Fault(times(0.5, "steps"), "steps", QUIET),
    "three times as many run in a quiet engine": Fault(times(3, "running"), "running", QUIET),
    "half of the latencies": Fault(times(0.5, "inter_token_count", "inter_token_seconds_sum"), "inter_token_count"),
    "none runs": Fault(times(0, "running"), "running"),
    "finished twice": Fault(times(2, "finished"), "finished"),
    "half finished": Fault(times(0.5, "finished"), "finished"),
    "a thousandth finished": Fault(times(0.001, "finished"), "finished"),
    "tokens in thousands": Fault(times(0.001, "generation_tokens"), "generation_tokens"),
    "tokens twice": Fault(times(2, "generation_tokens"), "generation_tokens"),
    "half of the tokens": Fault(times(0.5, "generation_tokens"), "generation_tokens"),
    "prompt tokens in thousands": Fault(times(0.001, "prompt_tokens", "prompt_tokens_computed"), "prompt_tokens"),
    "no output counted": Fault(lengths("request_generation_tokens", count=0.0), "request_generation_tokens"),
    "prompts counted twice": Fault(lengths("request_prompt_tokens", count=2.0), "request_prompt_tokens"),
    **{
        f"{field} x{factor:.2g}": Fault(lengths(field, total=factor), field)
        for field in ("request_generation_tokens", "request_prompt_tokens")
        for factor in (1 / 3, 1 / 2, 2.0, 3.0, 10.0)
    },
}
"""Each is a factor of two at least."""


def watched(show: Show, rate: float = RATE, seconds: int = SECONDS, refuted: Refuted | None = None) -> list[EngineView]:
    """The views of every fourth second, the last of them at the end: a page is asked no more often.

    What the server shows is put before ``refuted`` as well.
    """

    def shown(sample: EngineSample) -> EngineSample:
        changed = show(with_steps(sample))
        if refuted is not None:
            refuted.update(watch.at, changed)
        return changed

    watch = Watch(SyntheticEngine(poisson(rate, seconds)), show=shown)
    return [watch.view() for number, _ in enumerate(watch.seconds(seconds), 1) if number % LOOK_SCRAPES == 0]


@pytest.mark.long
@pytest.mark.parametrize("name", FAULTS)
def test_the_metric_that_is_wrong_is_the_one_that_is_left_out(name: str) -> None:
    """It alone, for as long as the fault lasts; the number that rests on it is absent with that reason.

    Before, too few requests were seen: 200 take two minutes of a quiet engine.
    """
    fault = FAULTS[name]
    refuted = Refuted()
    views = watched(fault.show, fault.rate, refuted=refuted)
    for view in views[(90 if fault.rate == RATE else 120) // LOOK_SCRAPES :]:
        assert view.service_rate.value is None
    last = views[-1]
    assert last.service_rate.verdict is Reason.METRIC_CONTRADICTED
    assert last.utilization.verdict is Reason.METRIC_CONTRADICTED
    assert [said for said in last.advice if "contradicts" in said]
    assert set(refuted.found) == {fault.field}


def test_requests_that_are_all_counted_twice_are_more_than_have_begun() -> None:
    """Finished and in both histograms; a drain, in which those finish that began before, is none."""
    both = {f: lengths(f, total=2.0, count=2.0) for f in ("request_generation_tokens", "request_prompt_tokens")}
    engine, refuted = SyntheticEngine(poisson(lambda s: RATE if s < 150 else 0.0, SECONDS)), Refuted()
    for second in range(SECONDS):
        engine.advance(START + second)
        sample = times(2, "finished")(with_steps(engine.sample()))
        for show in both.values():
            sample = show(sample)
        refuted.update(START + second, sample)
        if 60 <= second < 150:
            assert set(refuted.found) == {"finished", *both}
    engine, refuted = SyntheticEngine(poisson(lambda s: RATE if s < 150 else 0.0, SECONDS)), Refuted()
    for second in range(SECONDS):
        engine.advance(START + second)
        refuted.update(START + second, with_steps(engine.sample()))
        assert not refuted.found


@pytest.mark.long
def test_first_tokens_that_are_more_than_the_prompts_that_were_counted_with_them_are_left_out() -> None:
    """They would pass for requests that were given up; λ is then that of the balance."""
    dirty, clean = (watched(show)[-1] for show in (times(2, "first_token_count"), lambda s: s))
    assert dirty.arrival_rate.value == clean.arrival_rate.value
    assert any("vllm:time_to_first_token_seconds_count contradicts vllm:prompt_tokens" in said for said in dirty.advice)


def test_requests_that_are_given_up_after_their_first_token_are_no_contradiction() -> None:
    """Their prompts are counted with it: half of them here, and λ has them."""
    engine, refuted = SyntheticEngine(poisson(RATE, SECONDS)), Refuted()
    for second in range(SECONDS):
        engine.advance(START + second)
        s = engine.sample()
        given_up = replace(
            s, first_token_count=2 * (s.first_token_count or 0.0), prompt_tokens=2 * (s.prompt_tokens or 0.0)
        )
        refuted.update(START + second, given_up)
        assert not refuted.found


@pytest.mark.long
def test_what_does_not_rest_on_it_stays() -> None:
    """Arrivals are balanced from requests: with wrong tokens they are as right as without."""
    dirty, clean = (watched(show)[-1] for show in (times(2, "generation_tokens"), lambda s: s))
    assert dirty.arrival_rate == clean.arrival_rate
    for which in ("trimmed_mean", "median"):
        assert dirty.step_seconds.value[which] == clean.step_seconds.value[which]
    wrong = watched(times(2, "finished"))[-1]
    assert wrong.arrival_rate.verdict is Reason.METRIC_CONTRADICTED
    assert not wrong.arrival_rate.value


@pytest.mark.parametrize("rate", [0.3, 3.0, 10.0])
def test_without_a_fault_nothing_is_left_out(rate: float) -> None:
    """Idle half of the time, light and busy."""
    assert not [said for view in watched(lambda s: s, rate) for said in view.advice if "contradicts" in said]


LEGITIMATE: dict[str, Show] = {
    "two API servers count each step": times(2, "steps"),
    "eight API servers count each step": times(8, "steps"),
    "speculation, three tokens an output": lambda s: replace(
        s,
        spec_decode_drafts=s.steps,
        generation_tokens=3 * (s.generation_tokens or 0.0),
        step_tokens=(s.prompt_tokens or 0.0) + 3 * (s.generation_tokens or 0.0),
        request_generation_tokens=None,
    ),
    "most of the prompts in the cache": lambda s: replace(
        s,
        prompt_tokens_computed=0.1 * (s.prompt_tokens or 0.0),
        step_tokens=(s.generation_tokens or 0.0) + 0.1 * (s.prompt_tokens or 0.0),
    ),
    "a version that counts cached prompts in steps": lambda s: replace(
        s, prompt_tokens_computed=0.1 * (s.prompt_tokens or 0.0)
    ),
    "an engine that pools": lambda s: replace(
        s, generation_tokens=0.0, inter_token_count=0.0, inter_token_seconds_sum=0.0, step_tokens=s.prompt_tokens
    ),
    "a prefill server": lambda s: replace(
        s,
        generation_tokens=s.first_token_count,
        inter_token_count=0.0,
        inter_token_seconds_sum=0.0,
        step_tokens=(s.prompt_tokens or 0.0) + (s.first_token_count or 0.0),
        request_generation_tokens=Histogram((1.0, float("inf")), (s.finished or 0.0,) * 2, s.finished, s.finished),
    ),
    "a server that shows no steps": lambda s: replace(s, steps=None, step_tokens=None),
    "a server that shows no latencies": lambda s: replace(s, inter_token_seconds_sum=None, inter_token_count=None),
    "another kind of server": lambda s: replace(s, server=SGLANG, generation_tokens=9 * (s.generation_tokens or 0.0)),
}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_what_real_servers_do_is_no_contradiction(name: str) -> None:
    """Numbers that are not the same there, and need not be."""
    engine, refuted = SyntheticEngine(poisson(RATE, SECONDS)), Refuted()
    for second in range(SECONDS):
        engine.advance(START + second)
        refuted.update(START + second, LEGITIMATE[name](with_steps(engine.sample())))
        assert not refuted.found


def test_scrapes_that_come_late_are_no_contradiction() -> None:
    """Pauses of several seconds, again and again."""
    engine, refuted = SyntheticEngine(poisson(RATE, SECONDS)), Refuted()
    for second in (s for s in range(SECONDS) if s % 20 < 12):
        engine.advance(START + second)
        refuted.update(START + second, with_steps(engine.sample()))
        assert not refuted.found


def test_one_sum_of_latencies_as_long_as_the_host_is_up_refutes_nothing() -> None:
    """A request that is aborted inside an engine adds such a time, once."""
    engine, refuted = SyntheticEngine(poisson(RATE, SECONDS)), Refuted()
    for second in range(SECONDS):
        engine.advance(START + second)
        sample = engine.sample()
        up = 1e6 if second > 100 else 0.0
        sample = replace(sample, inter_token_seconds_sum=(sample.inter_token_seconds_sum or 0.0) + up)
        refuted.update(START + second, sample)
        assert not refuted.found


def test_a_number_that_is_mended_is_believed_again() -> None:
    """Within three minutes, and what is then learnt is right."""
    watch = Watch(SyntheticEngine(poisson(RATE, 900)), show=times(0.1, "steps"))
    assert watch.run(150).service_rate.verdict is Reason.METRIC_CONTRADICTED
    watch.show = lambda s: s
    mended = watch.run(300)
    truth = Watch(SyntheticEngine(poisson(RATE, 900))).run(450)
    assert mended.service_rate.value == pytest.approx(truth.service_rate.value, rel=0.05)
    assert mended.step_seconds.value["trimmed_mean"] == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("name", [*NAMES, "moe-chat", "moe-decode"])
def test_no_recording_of_a_real_server_has_a_contradiction(name: str) -> None:
    """With overload, eviction, mass aborts and idle times, at every scrape."""
    refuted: dict[str, Refuted] = {}
    for scrape in load(name).scrapes:
        for sample in scrape.engines:
            engine = refuted.setdefault(sample.key.engine, Refuted())
            assert engine.update(scrape.at, sample) == sample


def test_the_words_name_the_metrics_as_the_server_does() -> None:
    """Whoever looks after it can compare them."""
    refuted, engine = Refuted(), SyntheticEngine(poisson(RATE, 100))
    show = lengths("request_generation_tokens", total=3.0)
    for second in range(100):
        engine.advance(START + second)
        refuted.update(START + second, show(engine.sample()))
    (said,) = sentences(refuted.found.values())
    assert said.startswith(
        "vllm:request_generation_tokens contradicts vllm:request_generation_tokens_bucket: it is left out"
    )
