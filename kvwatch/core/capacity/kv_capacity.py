"""M: how many tokens of KV cache one engine can fill."""

from __future__ import annotations

from kvwatch.core.capacity.kv_capacity_check import Belief
from kvwatch.core.interval import KvCapacity
from kvwatch.embedded.settings import DEFAULT_BLOCK_TOKENS
from kvwatch.estimate import Estimate, Reason
from kvwatch.facts import CacheConfig


def kv_capacity(cache: CacheConfig, data_parallel_engines: int) -> KvCapacity | None:
    """M from ``cache_config_info``; ``None`` where that does not say.

    One block, the null block, never holds a request's tokens. ``num_gpu_blocks`` is the sum over the server's
    data-parallel engines, while ``kv_cache_size_tokens`` (vLLM ≥ 0.26) is one engine's.
    """
    block = cache.block_size_tokens
    if cache.kv_cache_size_tokens is not None:
        used_block = block or DEFAULT_BLOCK_TOKENS
        tokens = cache.kv_cache_size_tokens - (block or 0)
    elif cache.num_gpu_blocks is not None and block is not None:
        used_block = block
        tokens = (cache.num_gpu_blocks // max(data_parallel_engines, 1) - 1) * block
    else:
        return None
    return KvCapacity(float(tokens), used_block, exact=not cache.hybrid) if tokens > 0 else None


def believed(shown: KvCapacity | None, belief: Belief) -> KvCapacity | None:
    """M as it is to be used: as the server shows it, or as it follows from what runs where that refutes it."""
    if belief.shown != (shown.tokens if shown is not None else None) or not (belief.refuted or belief.tokens):
        return shown
    if belief.tokens is None:
        return None
    # with a size that cannot be, its block size is as little to be believed
    either = shown.tokens if shown is not None and not belief.impossible else None
    return KvCapacity(belief.tokens, DEFAULT_BLOCK_TOKENS, exact=False, from_usage=True, shown_tokens=either)


def kv_capacity_tokens(capacity: KvCapacity | None, *, refuted: bool = False) -> Estimate:
    """M [tokens]; ``refuted`` where the one that the server shows cannot be."""
    if capacity is None:
        return Estimate(verdict=Reason.CAPACITY_REFUTED if refuted else Reason.CAPACITY_UNKNOWN)
    return Estimate(capacity.tokens, verdict=doubt_of(capacity) or Reason.OK)


def doubt_of(capacity: KvCapacity) -> Reason | None:
    """Why this M is no more than an approximation, if so."""
    if capacity.from_usage:
        return Reason.CAPACITY_FROM_USAGE
    return None if capacity.exact else Reason.HYBRID_KV
