"""SGLang's metrics, as its own collector classes write them, give the numbers that vLLM's give.

The pages are made by ``scripts/sglang_exposition.py`` of the wheel of sglang 0.5.23. What the classes were told is here
again: four requests of these lengths, seen at a moment when three more are running and one waits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from kvwatch.facts import SGLANG, VLLM, CacheConfig, EngineKey, EngineSample
from kvwatch.parse.exposition import ExpositionReader
from tests.parse.exposition.passed_on import passed_on

ScrapeBytes = Callable[[str], bytes]
REQUESTS = ((100, 40, 0), (900, 120, 256), (350, 60, 0), (2000, 500, 1024))
"""Prompt, output and cached tokens."""
PROMPT, OUTPUT, CACHED = (float(sum(lengths)) for lengths in zip(*REQUESTS, strict=True))
DECODED = OUTPUT - len(REQUESTS)
"""The first token of each comes from prefill."""
KEY = EngineKey("org/model-7b", "0")


def _engine(page: bytes) -> EngineSample:
    scrape = ExpositionReader().read(page, at=0.0)
    assert (scrape.bad_lines, scrape.refusal) == (0, "")
    (engine,) = scrape.engines
    return engine


@pytest.mark.parametrize("kind", ["busy", "priority", "speculative"])
def test_a_busy_server_shows_what_it_was_told(kind: str, scrape_bytes: ScrapeBytes) -> None:
    """Whether several ranks show the same gauges, priorities are apart, or drafts are verified: totals count once."""
    engine = _engine(scrape_bytes(f"sglang-0.5.23-{kind}"))
    assert (engine.key, engine.server) == (KEY, SGLANG)
    assert (engine.running, engine.waiting, engine.kv_usage_ratio) == (3.0, 1.0, 0.25)
    assert engine.cache == CacheConfig(block_size_tokens=1, num_gpu_blocks=32768, kv_cache_size_tokens=32768)
    assert engine.finished == len(REQUESTS)
    assert (engine.prompt_tokens, engine.prompt_tokens_computed) == (PROMPT, PROMPT - CACHED)
    assert engine.generation_tokens == OUTPUT
    assert engine.preemptions == 2.0
    assert engine.first_token_count == len(REQUESTS)
    assert engine.inter_token_seconds_sum == pytest.approx(0.025 * DECODED)
    prompts, outputs = engine.request_prompt_tokens, engine.request_generation_tokens
    assert prompts is not None
    assert outputs is not None
    assert (prompts.count, prompts.total, outputs.count, outputs.total) == (4.0, PROMPT, 4.0, OUTPUT)
    assert (prompts.edges[0], prompts.edges[-1], prompts.cumulative[-1]) == (100.0, inf, 4.0)


def test_a_step_is_a_pass_of_decode(scrape_bytes: ScrapeBytes) -> None:
    """With a graph or without; the passes of prefill are not steps, their time is in the steps they hold up."""
    assert _engine(scrape_bytes("sglang-0.5.23-busy")).steps == DECODED // len(REQUESTS) + 1
    assert _engine(scrape_bytes("sglang-0.5.23-busy")).inter_token_count == DECODED


def test_with_speculation_latencies_are_counted_by_verifications(scrape_bytes: ScrapeBytes) -> None:
    """As vLLM counts them, by the steps of requests: two tokens each, so that their mean is known."""
    engine = _engine(scrape_bytes("sglang-0.5.23-speculative"))
    verified = sum((output - 1) // 2 for _, output, _ in REQUESTS)
    assert (engine.spec_decode_drafts, engine.inter_token_count) == (verified, verified)


def test_a_server_that_has_done_nothing_is_idle(scrape_bytes: ScrapeBytes) -> None:
    """Its gauges and its KV cache are there; counters that it has not begun are unknown."""
    engine = _engine(scrape_bytes("sglang-0.5.23-idle"))
    assert (engine.running, engine.waiting, engine.kv_usage_ratio) == (0.0, 0.0, 0.0)
    assert engine.cache.kv_cache_size_tokens == 32768
    assert (engine.finished, engine.steps, engine.generation_tokens) == (None, None, None)


def test_schedulers_whose_requests_nobody_tells_apart_are_refused(scrape_bytes: ScrapeBytes) -> None:
    """With data parallelism gauges have a rank and counters have none."""
    scrape = ExpositionReader().read(scrape_bytes("sglang-0.5.23-dp2"), at=0.0)
    assert scrape.engines == ()
    assert "the label dp_rank distinguishes several engines" in scrape.refusal


def test_servers_behind_one_collector_are_apart(scrape_bytes: ScrapeBytes) -> None:
    """Under names without colons and with a pod each, beside a vLLM of the same model."""
    page = scrape_bytes("sglang-0.5.23-busy").decode().replace("sglang:", "vllm:")
    pods = "".join(passed_on(page, prefix="sglang_", labels={"pod": pod}) for pod in ("a", "b"))
    other = passed_on(scrape_bytes("0.20.0").decode(), labels={"pod": "c"}, prefix="vllm_")
    engines = ExpositionReader().read((pods + other).replace("org/model-7b", "m").encode(), at=0.0).engines
    assert [(engine.key.engine, engine.server) for engine in engines if engine.server == SGLANG] == [
        ("0@a", SGLANG),
        ("0@b", SGLANG),
    ]
    assert [engine.running for engine in engines] == [3.0] * 3
    both = scrape_bytes("sglang-0.5.23-busy") + scrape_bytes("0.20.0")
    assert {e.key.engine: e.server for e in ExpositionReader().read(both, at=0.0).engines} == {
        "0": VLLM,
        "0@SGLang": SGLANG,
    }


def test_every_page_is_tested(request: pytest.FixtureRequest) -> None:
    """A page that is added without an expectation fails here."""
    folder = Path(request.path).parents[2] / "data" / "scrapes"
    kinds = {path.stem.removeprefix("sglang-0.5.23-") for path in folder.glob("sglang-*.prom")}
    assert kinds == {"idle", "busy", "priority", "speculative", "dp2"}
