"""What a server shows of its KV cache.

vLLM shows it in the labels of a metric, whose values are Python's ``str`` of each setting, SGLang in gauges.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.facts import CacheConfig

_MAX_DIGITS = 15
_UNSET = ("", "None")


def cache_config(labels: Mapping[str, str], engines: int) -> CacheConfig:
    """The KV cache that the labels describe, on a server that shows ``engines`` engines of one model."""
    block_size = _positive(labels.get("block_size"))
    num_gpu_blocks = _positive(labels.get("num_gpu_blocks"))
    size = _positive(labels.get("kv_cache_size_tokens"))
    prefix_caching = labels.get("enable_prefix_caching")
    return CacheConfig(
        block_size_tokens=block_size,
        num_gpu_blocks=num_gpu_blocks,
        kv_cache_size_tokens=size,
        enable_prefix_caching={"True": True, "False": False}.get(prefix_caching or ""),
        hybrid=_has_other_groups(labels)
        or not _sizes_agree(block_size, num_gpu_blocks, size, _ratio(labels.get("kv_cache_max_concurrency")), engines),
    )


def cache_of_gauges(numbers: Mapping[str, float | None]) -> CacheConfig:
    """The KV cache that gauges describe.

    They are ``block_size_tokens``, ``num_gpu_blocks``, ``kv_cache_size_tokens``, and ``window_tokens`` where layers
    with a sliding window have a pool of their own.
    """
    sizes = {name: int(value) or None for name, value in numbers.items() if value is not None}
    return CacheConfig(
        block_size_tokens=sizes.get("block_size_tokens"),
        num_gpu_blocks=sizes.get("num_gpu_blocks"),
        kv_cache_size_tokens=sizes.get("kv_cache_size_tokens"),
        hybrid=sizes.get("window_tokens") is not None,
    )


def _has_other_groups(labels: Mapping[str, str]) -> bool:
    """Whether a setting says that some layers keep a window, or a state of fixed size, instead of every token."""
    return (
        any(labels.get(name, "None") not in _UNSET for name in ("sliding_window", "mamba_block_size"))
        or labels.get("is_attention_free") == "True"
    )


def _sizes_agree(
    block_size: int | None, num_gpu_blocks: int | None, size: int | None, concurrency: float | None, engines: int
) -> bool:
    """Whether blocks times block size gives the tokens that vLLM says fit, to within a block an engine.

    With data parallelism ``num_gpu_blocks`` is the sum over the engines (seen up to 0.32), the size that of one.
    vLLM's size is what requests of the maximum length can use: a length that is no multiple of the block size
    leaves the rest of each request's last block out, so that length is worked out from the concurrency label.
    """
    if block_size is None or num_gpu_blocks is None or size is None:
        return True
    usable = 1.0
    if concurrency is not None:
        longest = round(size / concurrency)
        usable = longest / (-(-longest // block_size) * block_size) if longest > 0 else 1.0
    tokens = num_gpu_blocks * block_size * usable
    return any(abs(tokens - size * n) <= block_size * n for n in {1, max(engines, 1)})


def _positive(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        return None
    return int(text) or None


def _ratio(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
