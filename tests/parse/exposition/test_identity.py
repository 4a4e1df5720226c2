"""Several servers on one page are several engines, each with its own numbers, or the page is refused by name."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kvwatch.facts import EngineKey, EngineSample, Scrape
from kvwatch.parse.exposition import ExpositionReader
from tests.parse.exposition.passed_on import passed_on

RECORDINGS = Path(__file__).parents[2] / "data" / "recordings"


def _text(recording: str, number: int) -> str:
    with gzip.open(RECORDINGS / recording / "scrapes.jsonl.gz", "rt") as lines:
        return str(next(json.loads(line)["text"] for at, line in enumerate(lines) if at == number))


CALM, BUSY, CROWDED = _text("chat", 60), _text("ramp11", 200), _text("seqcap", 150)
"""Three real servers at work; all call themselves engine 0 of the same model."""


def _read(text: str) -> Scrape:
    return ExpositionReader().read(text.encode(), at=0.0)


def _alone(text: str, **options: object) -> EngineSample:
    """The one engine of a page."""
    (engine,) = _read(passed_on(text, **options)).engines  # type: ignore[arg-type]
    return engine


def _one_model(text: str) -> str:
    return text.replace('model_name="tiny"', 'model_name="m"').replace('model_name="small"', 'model_name="m"')


def _numbers(engine: EngineSample) -> EngineSample:
    return replace(engine, key=EngineKey("", ""))


CALM, BUSY, CROWDED = map(_one_model, (CALM, BUSY, CROWDED))
MODEL = _alone(CALM).key.model_name


def _pods(*labels: Mapping[str, str], **options: object) -> str:
    pages = (CALM, BUSY, CROWDED)
    return "".join(
        passed_on(page, labels=own, **options)  # type: ignore[arg-type]
        for page, own in zip(pages, labels, strict=False)
    )


CASES = {
    "collector: instance and pod": (
        [{"instance": f"10.0.0.{n}:8000", "pod": f"llm-{n}", "job": "llm"} for n in (1, 2)],
        {"prefix": "vllm_", "time_ms": 1_750_000_000_000},
        ["0@llm-1", "0@llm-2"],
    ),
    "federation: instance alone": (
        [{"instance": f"10.0.0.{n}:8000", "job": "llm"} for n in (1, 2, 3)],
        {},
        ["0@10.0.0.1:8000", "0@10.0.0.2:8000", "0@10.0.0.3:8000"],
    ),
    "stages of one model": (
        [{"stage": f"{n}", "replica": "0"} for n in (0, 1)],
        {"without": frozenset({"engine"})},
        ["0@stage=0", "0@stage=1"],
    ),
    "stages and replicas": (
        [{"stage": "0", "replica": "0"}, {"stage": "0", "replica": "1"}, {"stage": "1", "replica": "0"}],
        {"without": frozenset({"engine"})},
        ["0@replica=0,stage=0", "0@replica=0,stage=1", "0@replica=1,stage=0"],
    ),
    "a label that nobody has heard of": (
        [{"shard": "left"}, {"shard": "right"}],
        {},
        ["0@shard=left", "0@shard=right"],
    ),
    "one server without the label": ([{}, {"pod": "llm-2"}], {}, ["0", "0@llm-2"]),
    "clusters": (
        [{"cluster": "eu", "namespace": "a"}, {"cluster": "us", "namespace": "a"}],
        {"prefix": "kserve_vllm:"},
        ["0@cluster=eu", "0@cluster=us"],
    ),
}


@pytest.mark.parametrize(("labels", "options", "names"), CASES.values(), ids=CASES.keys())
def test_servers_on_one_page_are_engines_of_their_own(
    labels: list[Mapping[str, str]], options: dict[str, object], names: list[str]
) -> None:
    """Each has the numbers that it shows where it is alone, its KV cache among them; nothing is added up."""
    scrape = _read(_pods(*labels, **options))
    assert sorted(engine.key.engine for engine in scrape.engines) == sorted(names)
    assert scrape.refusal == ""
    alone = [_numbers(_alone(page)) for page in (CALM, BUSY, CROWDED)[: len(labels)]]
    for engine in scrape.engines:
        assert _numbers(engine) in alone
    assert len({str(_numbers(engine)) for engine in scrape.engines}) == len(labels)


@pytest.mark.parametrize(
    "prefix", ["ray_vllm:", "kserve_vllm:", "vllm_", "ray_vllm_", "prod_vllm_", "my:vllm:", "otel_vllm:"]
)
def test_whatever_stands_before_a_name_is_read(prefix: str) -> None:
    """Ray, KServe and namespaces of collectors put something in front; the numbers are the same."""
    assert _alone(CALM, prefix=prefix) == _alone(CALM)


def test_names_that_only_look_alike_are_not_read() -> None:
    """vLLM-Omni has metrics of its own under a name that begins as vLLM's do."""
    strange = f'vllm_omni:num_requests_running{{model_name="{MODEL}"}} 3\n'
    assert _read(strange + passed_on(CALM)).engines == (_alone(CALM),)


def test_a_page_that_shows_a_server_under_two_names_has_it_once() -> None:
    """A gateway may pass on what it reads and rename a copy; the name that is the server's own counts."""
    twice = passed_on(CALM, prefix="gateway_vllm_", labels={"gateway": "a"}) + passed_on(CALM)
    assert _read(twice).engines == (_alone(CALM),)


def test_parallel_engines_of_several_pods_are_apart() -> None:
    """Two pods with two data-parallel engines each are four engines, named by both."""
    second = passed_on(BUSY).replace('engine="0"', 'engine="1"')
    page = "".join(passed_on(text, labels={"pod": pod}) for pod in ("a", "b") for text in (passed_on(CALM), second))
    assert [engine.key.engine for engine in _read(page).engines] == ["0@a", "1@a", "0@b", "1@b"]


def test_labels_that_are_the_same_everywhere_tell_nothing_apart() -> None:
    """A worker's labels on each series of a single engine leave its name alone."""
    assert _alone(CALM, labels={"dynamo_component": "backend", "worker_id": "7587888"}).key.engine == "0"


POD = {"instance": "10.0.0.1:8000", "pod": "llm-1"}


@pytest.mark.parametrize(
    "twins",
    [
        ({"prometheus_replica": "a"}, {"prometheus_replica": "b"}),
        (POD | {"prometheus_replica": "a"}, POD | {"prometheus_replica": "b"}),
        (POD | {"job": "service-monitor"}, POD | {"job": "pod-monitor"}),
        ({"instance": "h:8000", "job": "a", "endpoint": "http"}, {"instance": "h:8000", "job": "b", "endpoint": "web"}),
    ],
    ids=["replicas", "replicas of a pod", "monitors of a pod", "monitors of an address"],
)
def test_an_engine_that_two_have_watched_is_one(twins: tuple[Mapping[str, str], Mapping[str, str]]) -> None:
    """Two Prometheis of a pair, two monitors that find one pod: added up it would have twice its load."""
    page = "".join(passed_on(CALM, labels=own) for own in twins)
    (engine,) = _read(page).engines
    assert _numbers(engine) == _numbers(_alone(CALM))
    other = passed_on(BUSY, labels={"instance": "10.0.0.2:8000", "pod": "llm-2", **dict.fromkeys(twins[0], "x")})
    if "instance" in twins[0]:
        assert len(_read(page + other).engines) == 2


def test_jobs_without_a_name_of_what_they_watch_are_engines_of_their_own() -> None:
    """Nothing says that they are the same one."""
    assert len(_read(_pods({"job": "a"}, {"job": "b"})).engines) == 2


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"^(vllm:\w+_total)(\{)", r"\1_total\2"),
        (r"^(vllm:\w+_seconds)_(bucket|sum|count)", r"\1_seconds_\2"),
        (r"^(vllm:kv_cache_usage_perc)\{", r"\1_ratio{"),
        (r"^(vllm:\w+_(?:sum|count))\{", r"\1_total{"),
    ],
    ids=["total", "unit", "ratio", "sums as counters"],
)
def test_what_a_collector_appends_to_a_name_changes_nothing(pattern: str, instead: str) -> None:
    """OpenTelemetry's exporter appends units and the kind of a metric, though the name may have them already."""
    changed = re.sub(pattern, instead, CALM, flags=re.MULTILINE)
    assert changed != CALM
    assert _alone(changed) == _alone(CALM)


def test_an_engine_that_is_left_alone_keeps_its_name() -> None:
    """One of two pods goes: the other is the engine that it was, and a third comes under a name of the same kind."""
    reader = ExpositionReader()
    pods = [passed_on(page, labels={"pod": pod}) for page, pod in ((CALM, "a"), (BUSY, "b"), (CROWDED, "c"))]

    def names(*shown: str) -> list[str]:
        return [engine.key.engine for engine in reader.read("".join(shown).encode(), at=0.0).engines]

    assert names(pods[0], pods[1]) == ["0@a", "0@b"]
    assert names(pods[1]) == ["0@b"]
    assert names(pods[1], pods[2]) == ["0@b", "0@c"]


@pytest.mark.parametrize("lacking", ["generation_tokens", "kv_cache_usage", "request_success"])
def test_a_label_that_families_lack_is_refused_by_name(lacking: str) -> None:
    """Nobody knows whose those are, so there is no engine, and the sentence says which label and what to do."""
    page = _pods({"tier": "a"}, {"tier": "b"}, lacking=lacking)
    scrape = _read("\n".join(dict.fromkeys(page.splitlines())) + "\n")
    assert scrape.engines == ()
    assert "the label tier distinguishes several engines" in scrape.refusal
    assert lacking in scrape.refusal
    assert "give the address of each engine as a target" in scrape.refusal


def test_a_cache_that_may_be_of_several_engines_is_nobody_s() -> None:
    """One cache config for two stages is of one of them: M of neither is known, everything else is."""
    page = _pods({"stage": "0"}, {"stage": "1"}, lacking="cache_config")
    first = next(line for line in page.splitlines() if "cache_config" in line)
    page = "\n".join(line for line in page.splitlines() if "cache_config" not in line or line == first) + "\n"
    reader = ExpositionReader()
    engines = reader.read(page.encode(), at=0.0).engines
    assert [engine.cache.num_gpu_blocks for engine in engines] == [None, None]
    assert [engine.running for engine in engines] == [_alone(CALM).running, _alone(BUSY).running]
    left = "".join(line + "\n" for line in page.splitlines() if 'stage="0"' not in line)
    assert [engine.cache.num_gpu_blocks for engine in reader.read(left.encode(), at=1.0).engines] == [None]


ROUTER = """\
vllm:current_qps{server="http://10.0.0.11:8000"} 2.4
vllm:num_requests_running{server="http://10.0.0.11:8000"} 10.0
vllm:num_requests_running{server="http://10.0.0.12:8000"} 11.0
vllm:gpu_cache_usage_perc{server="http://10.0.0.11:8000"} 0.31
"""


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (ROUTER, ["vllm:num_requests_running", "labels: server", "none has the label model_name", "router's"]),
        ("vllm:num_requests_running 3\n", ["none has the label model_name"]),
        ('vllm:num_requests_running{model_name=""} 3\n', ["none has the label model_name"]),
        ('vllm:healthy_pods_total{server="a"} 2\n', ["metrics with vllm:", "none that kvwatch reads"]),
        ('ray_vllm_lora_requests_info{model_name="m"} 2\n', ["metrics with ray_vllm_", "none that kvwatch reads"]),
        (
            'vllm:generation_tokens_total{model_name="m"} 5\n',
            ["of model m", "none of vllm:num_requests_running, vllm:num_requests_waiting"],
        ),
    ],
)
def test_what_makes_no_engine_is_told_for_what_it_is(page: str, words: list[str]) -> None:
    """A router's page, sums over models, and a page whose gauges were filtered away each have their own sentence."""
    scrape = _read(page)
    assert scrape.engines == ()
    for word in words:
        assert word in scrape.refusal


def test_a_page_of_somebody_else_is_refused_without_a_word_of_vllm() -> None:
    """What another program shows is no fault of labels."""
    assert _read('process_start_time_seconds 1.75e9\nup{job="vllm:x"} 1\n').refusal == ""
