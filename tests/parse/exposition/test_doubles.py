"""A model under two prefixes: a copy is the same engine once, however late; another engine is one of its own."""

from __future__ import annotations

from functools import cache

import pytest

from kvwatch.embedded.exposition import render
from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.facts import Scrape
from kvwatch.parse.exposition import ExpositionReader
from tests.parse.exposition.passed_on import passed_on

START = 1_800_000_000.0
SECONDS = 240
KNOWN_AFTER = 145.0
"""Two minutes, in which a late copy may come, and ten scrapes [s]."""


@cache
def pages(seed: int) -> tuple[str, ...]:
    """A server's page each two seconds; seeds differ in who asks, not in how many."""
    engine = SCENARIOS["steady"].engine(seed=seed, start=START)
    found = []
    for second in range(0, SECONDS + 1, 2):
        engine.advance(START + second)
        found.append(render(engine, model_name="acme/chat-8b"))
    return tuple(found)


def scrapes(late: int, *, seed: int, prefix: str = "ray_vllm:", slow: int = 1) -> list[Scrape]:
    """One server as it is, and one under a prefix, ``late`` pages behind and made anew each ``slow`` pages."""
    reader, found = ExpositionReader(), []
    for number, page in enumerate(pages(3)):
        other = pages(seed)[max(number - late, 0) // slow * slow]
        found.append(reader.read((page + passed_on(other, prefix=prefix)).encode(), START + 2 * number))
    return found


@pytest.mark.parametrize("late", [0, 1, 14, 29])
@pytest.mark.parametrize("slow", [1, 5, 30])
def test_a_copy_is_no_engine_however_late(late: int, slow: int) -> None:
    """Up to two minutes, among them those of a page that is made each minute."""
    for scrape in scrapes(late, seed=3, slow=slow):
        assert [engine.key.engine for engine in scrape.engines] == ["0"]


@pytest.mark.parametrize("prefix", ["ray_vllm:", "vllm_", "kserve_vllm:"])
def test_another_server_is_an_engine_of_its_own(prefix: str) -> None:
    """As evenly loaded as it may be; with the numbers that it shows alone, once it is known."""
    found = scrapes(0, seed=4, prefix=prefix)
    for scrape in found:
        keys = [engine.key.engine for engine in scrape.engines]
        assert keys[0] == "0"
        assert set(keys[1:]) <= {f"0@{prefix}"}
        if scrape.at >= START + KNOWN_AFTER:
            assert len(keys) == 2
    (alone,) = ExpositionReader().read(pages(4)[-1].encode(), START).engines
    first, second = found[-1].engines
    assert (second.finished, second.running, second.cache) == (alone.finished, alone.running, alone.cache)
    assert second.finished != first.finished


@pytest.mark.parametrize("seconds", [1.0, 7.0, 15.0, 60.0])
def test_it_takes_two_minutes_and_ten_scrapes_however_often_it_is_read(seconds: float) -> None:
    """Each interval between scrapes reaches them."""
    reader, last = ExpositionReader(), 0.0
    both = pages(3)[-1] + passed_on(pages(4)[-1], prefix="ray_vllm:")
    while len(reader.read(both.encode(), START + last).engines) == 1:
        last += seconds
        assert last <= 120 + 10 * seconds
    assert last >= 120


def test_servers_that_stand_still_with_other_counts_are_two() -> None:
    """And are one where all is the same: nothing says that there are two."""
    reader = ExpositionReader()
    page, other = pages(3)[-1], passed_on(pages(4)[-1], prefix="ray_vllm:")
    seen = [len(reader.read((page + other).encode(), START + 2 * n).engines) for n in range(80)]
    assert seen[0] == 1
    assert seen[-1] == 2
    copy = passed_on(page, prefix="ray_vllm:")
    assert len(reader.read((page + copy).encode(), START + 160).engines) == 1
    assert len(reader.read(page.encode(), START + 162).engines) == 1


def test_a_page_of_many_is_not_compared() -> None:
    """Seventeen servers under each of two prefixes are more pairs than are worth the time."""
    first = "".join(passed_on(pages(3)[-1], labels={"pod": f"a{n}"}) for n in range(17))
    again = "".join(passed_on(pages(4)[-1], prefix="ray_vllm:", labels={"pod": f"b{n}"}) for n in range(17))
    reader = ExpositionReader()
    assert {len(reader.read((first + again).encode(), START + 10 * n).engines) for n in range(40)} == {17}
