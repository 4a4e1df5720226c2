"""What the KV cache's labels say, and when a number of tokens does not describe it."""

from __future__ import annotations

import pytest

from kvwatch.facts import CacheConfig
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.parse.exposition.cache_config import cache_config

PLAIN = {
    "block_size": "16",
    "num_gpu_blocks": "1000",
    "kv_cache_size_tokens": "16000",
    "enable_prefix_caching": "True",
    "sliding_window": "None",
    "mamba_block_size": "None",
}


def test_a_plain_cache() -> None:
    """Blocks times block size is the stated size: tokens describe this cache."""
    assert cache_config(PLAIN, 1) == CacheConfig(16, 1000, 16000, enable_prefix_caching=True, hybrid=False)


@pytest.mark.parametrize(
    ("labels", "engines", "hybrid"),
    [
        ({"sliding_window": "4096"}, 1, True),
        ({"mamba_block_size": "528"}, 1, True),
        ({"is_attention_free": "True"}, 1, True),
        ({"is_attention_free": "False"}, 1, False),
        # a block more or less is rounding
        ({"kv_cache_size_tokens": "15984"}, 1, False),
        ({"kv_cache_size_tokens": "15983"}, 1, True),
        ({"kv_cache_size_tokens": "40000"}, 1, True),
        # two engines: blocks are the sum, the size is of one
        ({"kv_cache_size_tokens": "8000"}, 2, False),
        ({"kv_cache_size_tokens": "8000"}, 1, True),
        ({"kv_cache_size_tokens": "16000"}, 2, False),
        # a context of 1,000 uses 1,000 of each 1,008 tokens of blocks: 1000 / 63 requests of 1,000 tokens
        ({"kv_cache_size_tokens": "15873", "kv_cache_max_concurrency": "15.873015873015873"}, 1, False),
        ({"kv_cache_size_tokens": "15800", "kv_cache_max_concurrency": "15.8"}, 1, True),
        ({"kv_cache_size_tokens": "16000", "kv_cache_max_concurrency": "inf"}, 1, False),
        ({"kv_cache_size_tokens": "16000", "kv_cache_max_concurrency": "1e300"}, 1, False),
        # nothing to compare with
        ({"kv_cache_size_tokens": "None"}, 1, False),
        ({"num_gpu_blocks": "None"}, 1, False),
    ],
)
def test_caches_that_tokens_do_not_describe(labels: dict[str, str], engines: int, hybrid: bool) -> None:
    """A window, a state, or a size that blocks do not explain makes the cache hybrid."""
    assert cache_config(PLAIN | labels, engines).hybrid is hybrid


@pytest.mark.parametrize("text", ["None", "", "0", "-16", "16.5", "x", "²", "9" * 30])
def test_a_size_that_is_none_is_unknown(text: str) -> None:
    """What is not a positive whole number is unknown, never 0."""
    config = cache_config({"block_size": text, "num_gpu_blocks": text, "enable_prefix_caching": text}, 1)
    assert config == CacheConfig()


def test_each_engine_has_its_own_cache() -> None:
    """The labels of the engine's own series count, else those that name no engine."""
    body = b""
    for engine in (b"0", b"1", b"2"):
        body += b'vllm:num_requests_running{engine="%b",model_name="m"} 1\n' % engine
    body += b'vllm:cache_config_info{block_size="16"} 1\n'
    body += b'vllm:cache_config_info{block_size="32",engine="1"} 1\n'
    engines = ExpositionReader().read(body, at=0.0).engines
    assert [engine.cache.block_size_tokens for engine in engines] == [16, 32, 16]
