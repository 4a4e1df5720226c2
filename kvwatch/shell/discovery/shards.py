"""Which of several processes watches a target.

Jump consistent hashing (Lamping and Veach, arXiv 1406.2294): the shards are even, and when their number goes from n to
m > n, a share of 1 − n/m of the targets moves, all of them to new shards.
"""

from __future__ import annotations

from hashlib import blake2b

_MULTIPLIER = 2862933555777941757
_MASK = (1 << 64) - 1


def stable_hash(name: str) -> int:
    """64 bits of a name, the same in every process."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def shard_of(name: str, count: int) -> int:
    """The shard, from 0, that a name belongs to."""
    key = stable_hash(name)
    shard, jump = -1, 0
    while jump < count:
        shard = jump
        key = (key * _MULTIPLIER + 1) & _MASK
        jump = int((shard + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return shard


def in_shard(name: str, shard: tuple[int, int]) -> bool:
    """Whether a name belongs to the shard (index, count)."""
    index, count = shard
    return count == 1 or shard_of(name, count) == index
