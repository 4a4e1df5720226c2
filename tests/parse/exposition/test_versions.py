"""Each version of vLLM says the same things in its own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import inf
from pathlib import Path

import pytest

from kvwatch.facts import VLLM, CacheConfig, EngineKey, EngineSample, Histogram
from kvwatch.parse.exposition import ExpositionReader

ScrapeBytes = Callable[[str], bytes]

EVERYWHERE = {
    "running": 3.0,
    "waiting": 1.0,
    "kv_usage_ratio": 0.25,
    "finished": 10.0,
    "prompt_tokens": 1200.0,
    "generation_tokens": 900.0,
    "preemptions": 2.0,
    "steps": 400.0,
    "step_tokens": 2100.0,
    "inter_token_seconds_sum": 21.5,
    "inter_token_count": 887.0,
    "first_token_count": 13.0,
    "request_prompt_tokens": Histogram((1.0, 10.0, 100.0, 1000.0, inf), (0.0, 1.0, 6.0, 10.0, 10.0), 1000.0, 10.0),
    "request_generation_tokens": Histogram((1.0, 10.0, 100.0, 1000.0, inf), (0.0, 2.0, 9.0, 10.0, 10.0), 800.0, 10.0),
    "first_token_seconds": Histogram((0.1, 1.0, inf), (8.0, 12.0, 13.0), 4.5, 13.0),
    "inter_token_seconds": Histogram((0.01, 0.1, inf), (100.0, 880.0, 887.0), 21.5, 887.0),
    "queue_seconds": Histogram((0.3, inf), (9.0, 10.0), 1.25, 10.0),
    "created_at": 1750000010.0,
}
"""What the scrapes written by hand all say, where nothing else is said below."""

SOURCE = {"prompt_tokens_computed": 880.0}
WHY = {"waiting_capacity": 1.0, "waiting_deferred": 0.0}
NO_INTER_TOKEN = {"inter_token_seconds": None}
CACHE = {"cache": CacheConfig(16, 1000, None, enable_prefix_caching=True)}
HITS = {"prefix_cache_hits": 320.0}

BY_HAND: dict[str, dict[str, object]] = {
    "0.8.5-v0": NO_INTER_TOKEN | {"cache": CacheConfig(16, 1000, None, enable_prefix_caching=False)},
    "0.8.5-v1": NO_INTER_TOKEN | {"cache": CacheConfig(16, None, None, enable_prefix_caching=True)},
    # the middle one of 0.20, 0.22 and 0.30
    "0.9.2-multi-api": {"kv_usage_ratio": 0.22, "created_at": None, **NO_INTER_TOKEN, **CACHE, **HITS},
    "0.10.2": CACHE | HITS,
    "0.11.0": CACHE | HITS,
    "0.13.0": CACHE | HITS | {"asleep": True, "spec_decode_drafts": 300.0},
    "0.16.0": CACHE | HITS | SOURCE | {"asleep": False},
    "0.20.0": SOURCE
    | HITS
    | WHY
    | {"asleep": False, "cache": CacheConfig(16, 1000, None, enable_prefix_caching=True, hybrid=True)},
    "0.26.0": SOURCE
    | HITS
    | WHY
    | {"asleep": False, "cache": CacheConfig(4, 1000, 30000, enable_prefix_caching=True, hybrid=True)},
    "rust-frontend": SOURCE | HITS | WHY | {"created_at": None},
    "ray": {"created_at": None},
}


def _shown(sample: EngineSample) -> dict[str, object]:
    """What a sample says, without what it leaves unknown."""
    everything = {field.name: getattr(sample, field.name) for field in fields(sample)}
    return {name: value for name, value in everything.items() if value not in (None, {}, CacheConfig(), VLLM)}


@pytest.mark.parametrize("name", BY_HAND)
def test_each_version_gives_what_it_shows_and_nothing_else(name: str, scrape_bytes: ScrapeBytes) -> None:
    """Every field is read under the version's name for it; a field the version lacks is unknown."""
    scrape = ExpositionReader().read(scrape_bytes(name), at=7.0, duration_seconds=0.25)
    expected = {"key": EngineKey("org/model-7b", "0"), **EVERYWHERE, **BY_HAND[name]}
    assert [_shown(engine) for engine in scrape.engines] == [
        {key: value for key, value in expected.items() if value is not None}
    ]
    assert (scrape.at, scrape.duration_seconds, scrape.bad_lines) == (7.0, 0.25, 0)


def test_every_stored_scrape_is_tested(request: pytest.FixtureRequest) -> None:
    """A scrape that is added to the folder without an expectation fails here."""
    folder = Path(request.path).parents[2] / "data" / "scrapes"
    stored = {path.stem for path in folder.glob("*.prom") if not path.stem.startswith("sglang")}
    stored -= {path.stem for end in ("real", "classes") for path in folder.glob(f"*-{end}.prom")}
    real = {"0.32.0-idle", "0.32.0-busy", "0.32.0-dp2", "0.32.0-multi-api"}
    assert stored == BY_HAND.keys() | real | {"ray-two-replicas"}


@pytest.mark.parametrize(
    ("name", "process_start", "multiprocess"),
    [
        ("0.8.5-v0", 1.75e9, False),
        ("0.9.2-multi-api", None, True),
        ("0.32.0-multi-api", None, True),
        ("0.32.0-dp2", 1795322911.97, False),
        ("rust-frontend", None, False),
        ("ray", None, False),
    ],
)
def test_several_api_servers_are_recognised(
    name: str, process_start: float | None, multiprocess: bool, scrape_bytes: ScrapeBytes
) -> None:
    """Only vLLM's own exposition without start and creation times means several API servers."""
    scrape = ExpositionReader().read(scrape_bytes(name), at=0.0)
    assert (scrape.process_start, scrape.multiprocess) == (process_start, multiprocess)


def test_an_idle_server_of_today(scrape_bytes: ScrapeBytes) -> None:
    """A vLLM 0.32 with nothing to do has running and waiting 0, which is not unknown."""
    scrape = ExpositionReader().read(scrape_bytes("0.32.0-idle"), at=0.0)
    (engine,) = scrape.engines
    assert (engine.running, engine.waiting, engine.waiting_capacity, engine.waiting_deferred) == (0.0, 0.0, 0.0, 0.0)
    assert (engine.kv_usage_ratio, engine.asleep, engine.finished) == (0.0, False, 20.0)
    assert scrape.bad_lines == 0


def test_a_busy_server_of_today(scrape_bytes: ScrapeBytes) -> None:
    """Every number of a saturated vLLM 0.32 is read as its exposition has it."""
    scrape = ExpositionReader().read(scrape_bytes("0.32.0-busy"), at=0.0)
    edges = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, inf)
    prompts = (0.0, 0.0, 0.0, 0.0, 2.0, 17.0, 35.0, 97.0, 186.0, 186.0, 186.0, 186.0)
    outputs = (0.0, 0.0, 0.0, 4.0, 5.0, 33.0, 71.0, 99.0, 186.0, 186.0, 186.0, 186.0)
    waits = (
        0.001,
        0.005,
        0.01,
        0.02,
        0.04,
        0.06,
        0.08,
        0.1,
        0.25,
        0.5,
        0.75,
        1.0,
        2.5,
        5.0,
        7.5,
        10.0,
        20.0,
        40.0,
        80.0,
    )
    first = (0, 0, 0, 0, 0, 0, 1, 2, 18, 45, 58, 73, 89, 91, 96, 96, 127, 194, 235, 235, 235, 235, 235)
    pauses = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
    between = (
        0,
        3083,
        25497,
        32162,
        33659,
        39059,
        40592,
        40869,
        41082,
        41089,
        41203,
        41214,
        41222,
        41222,
        *[41226] * 6,
    )
    busy = EngineSample(
        key=EngineKey("tiny", "0"),
        queue_seconds=Histogram(
            (
                0.3,
                0.5,
                0.8,
                1.0,
                1.5,
                2.0,
                2.5,
                5.0,
                10.0,
                15.0,
                20.0,
                30.0,
                40.0,
                50.0,
                60.0,
                120.0,
                240.0,
                480.0,
                960.0,
                1920.0,
                7680.0,
                inf,
            ),
            (
                50.0,
                57.0,
                74.0,
                81.0,
                90.0,
                90.0,
                90.0,
                92.0,
                96.0,
                110.0,
                133.0,
                163.0,
                178.0,
                186.0,
                186.0,
                186.0,
                186.0,
                186.0,
                186.0,
                186.0,
                186.0,
                186.0,
            ),
            2252.0676506970044,
            186.0,
        ),
        running=42.0,
        waiting=1120.0,
        waiting_capacity=1120.0,
        waiting_deferred=0.0,
        kv_usage_ratio=0.9882583170254403,
        asleep=False,
        finished=186.0,
        prompt_tokens=48927.0,
        prompt_tokens_computed=48927.0,
        generation_tokens=41461.0,
        preemptions=129.0,
        prefix_cache_hits=0.0,
        steps=1203.0,
        step_tokens=90388.0,
        inter_token_seconds_sum=2736.732988577002,
        inter_token_count=41226.0,
        first_token_count=235.0,
        prefill_seconds_sum=40.81620885799566,
        request_prompt_tokens=Histogram(edges, prompts, 38485.0, 186.0),
        request_generation_tokens=Histogram(edges, outputs, 34860.0, 186.0),
        first_token_seconds=Histogram((*waits, 160.0, 640.0, 2560.0, inf), first, 4288.212716817856, 235.0),
        inter_token_seconds=Histogram((*pauses, inf), between, 2736.732988577002, 41226.0),
        cache=CacheConfig(32, 512, 16384, enable_prefix_caching=False),
        created_at=1795313516.8703496,
    )
    assert scrape.engines == (busy,)
    assert scrape.process_start == 1795313492.67


def test_data_parallel_engines_are_apart(scrape_bytes: ScrapeBytes) -> None:
    """Each engine has its own numbers, and the cache is not hybrid.

    The number of blocks is the sum over both engines, and the context of 1,000 leaves 24 of each 1,024 tokens
    of blocks unused, so the stated size is 2 % below blocks times block size.
    """
    scrape = ExpositionReader().read(scrape_bytes("0.32.0-dp2"), at=0.0)
    first, second = scrape.engines
    assert (first.key, second.key) == (EngineKey("tiny", "0"), EngineKey("tiny", "1"))
    assert (first.running, second.running) == (2.0, 1.0)
    assert (first.kv_usage_ratio, second.kv_usage_ratio) == (0.06299212598425197, 0.047244094488189003)
    assert (first.finished, second.finished) == (12.0, 12.0)
    assert first.cache == second.cache == CacheConfig(32, 256, 4000, enable_prefix_caching=True)


def test_replicas_under_ray_are_apart(scrape_bytes: ScrapeBytes) -> None:
    """Two replicas that call their engine "0" are two engines, and a counter shown twice counts once."""
    scrape = ExpositionReader().read(scrape_bytes("ray-two-replicas"), at=0.0)
    assert [engine.key.engine for engine in scrape.engines] == ["0@app#LLMServer#aaaa", "0@app#LLMServer#bbbb"]
    assert [engine.prompt_tokens for engine in scrape.engines] == [1200.0, 2400.0]
    assert [engine.finished for engine in scrape.engines] == [10.0, 20.0]
