"""Collections stay short, and what has cycles is collected all the same."""

from __future__ import annotations

import asyncio
import gc
import platform
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from kvwatch.shell import garbage


class _Ring:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The collector's state is the whole process's."""
    yield
    gc.unfreeze()


def _broken_ring() -> weakref.ref[_Ring]:
    return weakref.ref(_Ring())


def test_young_cycles_are_collected() -> None:
    """What came since the last time and is garbage is gone."""
    ring = _broken_ring()
    garbage.set_aside(1)
    assert ring() is None


def test_what_was_set_aside_is_left_out_of_the_next_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """With much in memory a cycle that breaks up late stays, and the collection has nothing to look through."""
    ring = _Ring()
    known = weakref.ref(ring)
    garbage.set_aside(1)
    del ring
    monkeypatch.setattr(garbage, "FULL_OBJECTS", 0)
    garbage.set_aside(garbage.FULL_EVERY)
    assert known() is not None
    assert len(gc.get_objects()) < 1_000


def test_with_little_in_memory_all_is_looked_through_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle that breaks up late is gone then."""
    ring = _Ring()
    known = weakref.ref(ring)
    garbage.set_aside(1)
    del ring
    monkeypatch.setattr(garbage, "FULL_OBJECTS", 1 << 40)
    garbage.set_aside(garbage.FULL_EVERY - 1)
    assert known() is not None
    garbage.set_aside(garbage.FULL_EVERY)
    assert known() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives back what is free within its heap")
def test_memory_that_is_free_between_blocks_that_live_is_given_back() -> None:
    """Every second one of some thousand blocks is freed: half of their memory goes back to the system."""
    script = """
import gc
from pathlib import Path
from kvwatch.shell import garbage
def held(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
blocks = [bytearray(60_000) for _ in range(1_000)]
del blocks[::2]
gc.collect()
before = held()
garbage.give_back()
print(before - held())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0.8 * 500 * 60_000


async def test_it_is_given_back_while_the_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, and not at each collection."""
    given: list[int] = []
    periods: list[int] = []
    enough = asyncio.Event()

    def give_back() -> None:
        given.append(periods[-1])
        if len(given) == 3:
            enough.set()

    monkeypatch.setattr(garbage, "PERIOD_SECONDS", 0.001)
    monkeypatch.setattr(garbage, "set_aside", periods.append)
    monkeypatch.setattr(garbage, "give_back", give_back)
    keeping = asyncio.create_task(garbage.keep_short())
    async with asyncio.timeout(10):
        await enough.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert given[:3] == [garbage.GIVE_BACK_EVERY * n for n in (1, 2, 3)]


async def test_the_interpreters_own_full_collections_are_off_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs they never come, and afterwards all is as before."""
    monkeypatch.setattr(garbage, "PERIOD_SECONDS", 0.001)
    before = gc.get_threshold()
    keeping = asyncio.create_task(garbage.keep_short())
    ring = _Ring()
    async with asyncio.timeout(10):
        gone = asyncio.Event()
        weakref.finalize(ring, gone.set)
        del ring
        await gone.wait()
    assert gc.get_threshold()[2] > 1_000_000
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert gc.get_threshold() == before
