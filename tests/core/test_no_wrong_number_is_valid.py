"""No case has an exported μ, ρ or number of replicas that is off by more than half and is marked as valid.

All cases are walked through, view after view: faults of servers and of what lies between them and kvwatch, made after
public reports and put in front of an embedded engine whose service rate is known, and the recordings of a real vLLM.
What a number may be, once a fault has changed the truth, is said beside the fault.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import pytest

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import DEFAULT_WINDOWS_SECONDS, CoreOptions
from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.facts import Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.views import EngineView, FleetView
from tests.core.recordings import NAMES, load
from tests.core.runs import make_due_runs

SECONDS = 420
"""Length of each case; the five-minute window is full for the last two [s]."""
START = 1_800_000_000.0
FAULT_AT = 200.0
"""When faults begin that do not hold from the start on [s]."""
NOTICED_WITHIN = 60.0
"""Time after which a fault must have been noticed that changes the truth [s]: a window of λ."""
OFF = 0.5
"""How far a valid number may be off [1]: the requirement."""
LOAD = SCENARIOS["steady"].stages[0].start_load
TARGET = "host:8000"


@cache
def truth() -> float:
    """What the engine sustains, kept full of its traffic [requests/s]."""
    return SCENARIOS["steady"].capacity(3).throughput_rps


@cache
def pages() -> tuple[str, ...]:
    """The engine's metrics, a page each two seconds."""
    engine = SCENARIOS["steady"].engine(seed=3, start=START)
    found = []
    for second in range(0, SECONDS + 1, 2):
        engine.advance(START + second)
        found.append(render(engine, model_name="acme/chat-8b"))
    return tuple(found)


Change = Callable[[float, str], str]
"""What is in front of the engine: from a time [s] and the page of then to the page that kvwatch reads."""


@dataclass(frozen=True)
class FromFaultOn:
    """A fault that begins in between; it is given the last page from before it too."""

    change: Callable[[float, str, str], str]

    def __call__(self, at: float, page: str) -> str:
        """The page that is read."""
        return page if at < FAULT_AT else self.change(at, page, pages()[int(FAULT_AT) // 2])


def gauges(page: str, **values: float) -> str:
    """The page with these gauges at other values; ``by_reason`` names them by their label."""
    for name, value in values.items():
        family, _, reason = name.partition("__")
        label = f'[^}}]*reason="{reason}"[^}}]*' if reason else "[^}]*"
        page = re.sub(rf"(vllm:{family}\{{{label}\}}) \S+", rf"\1 {value!r}", page)
    return page


def labels(page: str, **values: str) -> str:
    """The page with other labels of the cache config; those that are empty are left out."""
    for name, value in values.items():
        said = f'{name}="{value}",' if value else ""
        page = re.sub(rf'\b{name}="[^"]*",?', said, page)
    return page


def usage(change: Callable[[float], float]) -> Change:
    """Another share of memory in use."""
    seen = re.compile(r"(vllm:kv_cache_usage_perc\{[^}]*\}) (\S+)")
    return lambda _, page: seen.sub(lambda found: f"{found[1]} {change(float(found[2]))!r}", page)


def counters(factor: float, names: str) -> Change:
    """Counters that are so many times as large."""
    seen = re.compile(rf"^(vllm:(?:{names})\{{[^}}]*\}}) (\S+)$", re.MULTILINE)
    return lambda _, page: seen.sub(lambda found: f"{found[1]} {float(found[2]) * factor!r}", page)


def made_each(seconds: float) -> Change:
    """What makes a new page so seldom, and shows the one that it has until then: a collector, a federation."""
    return lambda at, _: pages()[int(at // seconds * seconds) // 2]


def without(*families: str) -> Change:
    """A server that does not show these."""
    gone = re.compile(rf"^vllm:(?:{'|'.join(families)})(?:_bucket|_sum|_count|_total|_created)?[{{ ].*\n", re.MULTILINE)
    return lambda _, page: gone.sub("", page)


def cache_shown(**values: str) -> Change:
    """A server whose cache config says this, as from versions without a size in tokens."""
    known = {"kv_cache_size_tokens": "", "kv_cache_max_concurrency": ""} | values
    return lambda _, page: labels(page, **known)


def _crawl(at: float, _: str, healthy: str) -> str:
    tokens = float(re.search(r"vllm:generation_tokens_total\{[^}]*\} (\S+)", healthy)[1])  # type: ignore[index]
    steps = float(re.search(r"vllm:iteration_tokens_total_count\{[^}]*\} (\S+)", healthy)[1])  # type: ignore[index]
    made = (at - FAULT_AT) * 5.4
    page = gauges(healthy, num_requests_running=1.0, num_requests_waiting=14.0, kv_cache_usage_perc=0.85)
    page = gauges(page, num_requests_waiting_by_reason__capacity=14.0)
    return gauges(page, generation_tokens_total=tokens + made, iteration_tokens_total_count=steps + made)


def _deadlock(reason: str) -> Callable[[float, str, str], str]:
    def change(at: float, _: str, healthy: str) -> str:
        waiting = 1.0 + (at - FAULT_AT) // 40
        page = gauges(healthy, num_requests_running=0.0, num_requests_waiting=waiting, kv_cache_usage_perc=0.0)
        return gauges(page, **{f"num_requests_waiting_by_reason__{reason}": waiting})

    return change


def _embedding(_: float, page: str) -> str:
    return gauges(page, generation_tokens_total=0.0, inter_token_latency_seconds_count=0.0)


def _restarted(_: float, page: str, healthy: str) -> str:
    for name in ("prompt_tokens_total", "generation_tokens_total", "iteration_tokens_total_count"):
        seen = re.compile(rf"(vllm:{name}\{{[^}}]*\}}) (\S+)")
        before = float(seen.search(healthy)[2])  # type: ignore[index]
        page = seen.sub(lambda found, before=before: f"{found[1]} {float(found[2]) - before!r}", page)
    return page


@dataclass(frozen=True)
class Case:
    """A fault; ``blocked`` says that from then on nothing is served, so that no valid number is right."""

    change: Change
    blocked: bool = False
    settings: Settings = field(default_factory=lambda: Settings(256, 2048, 4096, "config"))


CASES: dict[str, Callable[[], Case]] = {
    "healthy": lambda: Case(lambda _, page: page),
    "stale block size": lambda: Case(cache_shown(block_size="16", num_gpu_blocks="62")),
    "one of eight ranks": lambda: Case(cache_shown(num_gpu_blocks="257")),
    "one of two ranks": lambda: Case(cache_shown(num_gpu_blocks="1025")),
    "four ranks together": lambda: Case(cache_shown(num_gpu_blocks="8196")),
    "block size of another group": lambda: Case(cache_shown(block_size="4")),
    "size that is none": lambda: Case(cache_shown(kv_cache_size_tokens="1600")),
    "no cache config": lambda: Case(without("cache_config_info")),
    "usage below 0": lambda: Case(usage(lambda share: share - 0.6)),
    "usage in percent": lambda: Case(usage(lambda share: 100 * share)),
    "the share of memory that is free": lambda: Case(usage(lambda share: 1 - share)),
    "usage above 1": lambda: Case(usage(lambda share: 5 * share)),
    "no usage": lambda: Case(without("kv_cache_usage_perc")),
    "no steps": lambda: Case(without("iteration_tokens_total")),
    "no tokens generated": lambda: Case(without("generation_tokens")),
    "no finished requests": lambda: Case(without("request_success")),
    "finished twice, and in the histograms": lambda: Case(
        counters(2.0, "request_success_total|request_(?:prompt|generation)_tokens_(?:count|sum|bucket)")
    ),
    "all counters twice": lambda: Case(counters(2.0, "[a-z_]+_(?:total|count|sum|bucket)")),
    "half of all counters": lambda: Case(counters(0.5, "[a-z_]+_(?:total|count|sum|bucket)")),
    "ten more wait": lambda: Case(
        lambda _, page: re.sub(
            r"(vllm:num_requests_waiting(?:_by_reason)?\{(?![^}]*deferred)[^}]*\}) (\S+)",
            lambda found: f"{found[1]} {float(found[2]) + 10!r}",
            page,
        )
    ),
    "no lengths": lambda: Case(without("request_prompt_tokens", "request_generation_tokens")),
    "an old version": lambda: Case(
        without("iteration_tokens_total", "request_success", "request_prompt_tokens", "request_generation_tokens")
    ),
    "all deferred": lambda: Case(FromFaultOn(_deadlock("deferred")), blocked=True),
    "all waiting": lambda: Case(FromFaultOn(_deadlock("capacity")), blocked=True),
    "crawl": lambda: Case(FromFaultOn(_crawl), blocked=True),
    "frozen": lambda: Case(FromFaultOn(lambda _, __, healthy: healthy), blocked=True),
    "embeddings": lambda: Case(_embedding, blocked=True),
    "counters begin again": lambda: Case(FromFaultOn(_restarted)),
    "a page each 10 s": lambda: Case(made_each(10.0)),
    "a page each 16 s": lambda: Case(made_each(16.0)),
    "a page each 60 s": lambda: Case(made_each(60.0)),
    "half of the metrics vanish": lambda: Case(
        FromFaultOn(lambda at, page, _: without("request_prompt_tokens", "iteration_tokens_total")(at, page))
    ),
}
"""Each with the class of fault that it stands for; the texts are made here, after the form of public reports."""


def watched(case: Case) -> Iterator[tuple[float, FleetView]]:
    """The fleet each ten seconds: the time since the start, and the view. Faults that begin later begin with it."""
    begins = int(FAULT_AT) // 2 if isinstance(case.change, FromFaultOn) else 0
    fleet, reader = copy.deepcopy(until(begins, case.settings))
    for number, page in enumerate(pages()[begins:], begins):
        at = 2.0 * number
        read(fleet, reader, at, case.change(at, page))
        if not number % 5:
            yield at, fleet.view(START + at)


@cache
def until(begins: int, settings: Settings) -> tuple[Fleet, ExpositionReader]:
    """What was learnt of the healthy engine until a page, and looked at as often; the healthy case judges it."""
    options = CoreOptions(dict(DEFAULT_WINDOWS_SECONDS), scrape_interval_seconds=2.0)
    fleet, reader = Fleet(options), ExpositionReader()
    fleet.add(TARGET, settings)
    for number, page in enumerate(pages()[:begins]):
        read(fleet, reader, 2.0 * number, page)
        if not number % 5:
            fleet.view(START + 2.0 * number)
    return fleet, reader


def read(fleet: Fleet, reader: ExpositionReader, at: float, page: str) -> None:
    """One scrape, and what is due after it."""
    reader.feed(page.encode())
    fleet.observe(TARGET, reader.finish(START + at))
    make_due_runs(fleet, START + at)


def valid(view: EngineView, name: str) -> bool:
    """Whether an estimate is exported as one to be believed."""
    found = view.estimate_valid.get(name)
    return found is not None and found.valid


def wrong(view: EngineView, service_rate: float) -> Iterator[str]:
    """Each number of an engine that is valid, and off by more than half."""
    mu = view.service_rate.value
    if mu is not None and valid(view, "service_rate") and abs(mu / service_rate - 1) > OFF:
        yield f"μ {mu:.2f} for {service_rate:.2f}"
    for window, rho in view.utilization.value.items():
        right = view.arrival_rate.value[window] / service_rate
        if valid(view, "utilization") and abs(rho - right) > OFF * right:
            yield f"ρ {rho:.2f} for {right:.2f} over {window}"


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_no_case_has_a_wrong_number_that_is_valid(name: str) -> None:
    """At every moment of it; a fault in which nothing is served must be noticed within a minute."""
    case = CASES[name]()
    for at, view in watched(case):
        engines: Sequence[EngineView] = view.targets[0].engines
        for engine in engines:
            if not (case.blocked and at >= FAULT_AT):
                assert not list(wrong(engine, truth())), f"after {at:.0f} s"
            elif at >= FAULT_AT + NOTICED_WITHIN:
                assert not valid(engine, "service_rate"), f"μ after {at:.0f} s"
                assert not valid(engine, "utilization") or engine.utilization.value == {}, f"ρ after {at:.0f} s"
        for model in view.models:
            # one replica serves this load: a fault must not ask for a fleet
            assert model.replicas_required in (None, 1.0), f"{model.replicas_required} replicas after {at:.0f} s"


@pytest.mark.parametrize("name", [name for name in CASES if name != "healthy"])
def test_each_fault_changes_what_is_read(name: str) -> None:
    """A pattern that finds nothing would make a case of nothing."""
    change = CASES[name]().change
    assert change(FAULT_AT + 42, pages()[121]) != pages()[121]


def test_the_healthy_engine_is_known() -> None:
    """Silence is no answer: without a fault the numbers are there, valid and near."""
    *_, (_, last) = watched(CASES["healthy"]())
    (engine,) = last.targets[0].engines
    assert engine.service_rate.value == pytest.approx(truth(), rel=0.2)
    assert engine.utilization.value["5m"] == pytest.approx(LOAD, rel=0.2)
    assert valid(engine, "utilization")


@pytest.mark.parametrize("name", NAMES)
def test_no_recording_of_a_real_server_has_a_wrong_number_that_is_valid(name: str) -> None:
    """Each ten seconds of it, against the rate that was measured in the nearest phase in which the server was full."""
    recording = load(name)
    measured = {p: p.service_rate for p in recording.phases if p.service_rate is not None and p.kind == "sat"}
    fleet = Fleet(CoreOptions())
    fleet.add(name, recording.settings)
    for number, scrape in enumerate(recording.scrapes):
        fleet.observe(name, scrape)
        make_due_runs(fleet, scrape.at)
        if number % 10:
            continue
        rate = measured[min(measured, key=lambda p: max(p.start - scrape.at, scrape.at - p.end, 0.0))]
        for engine in fleet.view(scrape.at).targets[0].engines:
            assert not list(wrong(engine, rate)), f"after {scrape.at - recording.scrapes[0].at:.0f} s"
