"""Whatever a server shows, in whatever order: nothing raises or is NaN, no rate is negative, memory is bounded."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import accumulate
from math import inf, isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import EngineSample, Histogram, RequestRecord, Scrape, ScrapeFailed, Settings
from tests.core.synthetic import KEY, SEATS_KNOWN, START, TARGET, SyntheticEngine, poisson

SIGNED = {
    "arrival_rate_slope",
    "queue_slope",
    "stability_margin",
    "occupancy_residual_ratio",
}
"""Estimates that may be negative."""


def numbers(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a view with the path to it."""
    if is_dataclass(value):
        for f in fields(value):
            yield from numbers(getattr(value, f.name), f"{path}.{f.name}")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}[{key}]")
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{index}]")
    elif isinstance(value, int | float):
        yield path, float(value)


def check(fleet: Fleet, now: float) -> None:
    """No number of the view is NaN or infinite, and none is negative that cannot be."""
    for path, number in numbers(fleet.view(now)):
        assert not isnan(number), path
        assert abs(number) != inf, path
        *_, field, last = (part.split("[")[0] for part in path.split("."))
        name = field if last in ("value", "lower", "upper") else last
        assert number >= 0 or name in SIGNED, f"{path} = {number}"


@cache
def ordinary_scrapes() -> tuple[EngineSample, ...]:
    """Five minutes of an engine that is idle, busy, and in overload in turn."""
    load = {0: 0.0, 1: 8.0, 2: 30.0, 3: 0.0, 4: 15.0}
    engine = SyntheticEngine(poisson(lambda s: load.get(int(s // 60), 0.0), 300), seats=12)
    samples = []
    for second in range(300):
        engine.advance(START + second)
        samples.append(engine.sample())
    return tuple(samples)


OPTIONAL = tuple(f.name for f in fields(EngineSample) if f.default is None)
COUNTERS = (
    "finished",
    "prompt_tokens",
    "prompt_tokens_computed",
    "generation_tokens",
    "preemptions",
    "steps",
    "inter_token_seconds_sum",
    "inter_token_count",
    "first_token_count",
)


def less(value: object, base: object) -> object:
    """A counter, or a histogram of counters, that started anew at ``base``."""
    if isinstance(value, Histogram) and isinstance(base, Histogram):
        return replace(
            value,
            cumulative=tuple(max(a - b, 0.0) for a, b in zip(value.cumulative, base.cumulative, strict=True)),
            total=max((value.total or 0) - (base.total or 0), 0.0),
            count=max((value.count or 0) - (base.count or 0), 0.0),
        )
    return value if value is None or base is None else max(value - base, 0.0)  # type: ignore[operator]


@dataclass(frozen=True)
class Damage:
    """What happens to a stretch of scrapes."""

    kind: str
    fields: tuple[str, ...] = ()
    amount: float = 0.0


damages = st.builds(
    Damage,
    st.sampled_from(["none", "reset", "quiet_reset", "missing", "torn", "back", "again", "poison", "fail", "jump"]),
    st.lists(st.sampled_from(OPTIONAL), max_size=6).map(tuple),
    st.sampled_from([0.0, 0.3, 1.0, 7.0, 1e6, -1e6]),
)


class DamagedServer:
    """Shows the ordinary scrapes one after the other, damaged."""

    def __init__(self, first: int) -> None:
        self.at = START
        self._index = first
        self._epoch = START
        self._base: EngineSample | None = None
        self._last: EngineSample | None = None

    def facts(self, length: int, damage: Damage) -> Iterator[Scrape | ScrapeFailed]:
        """What comes of ``length`` more scrapes under one kind of damage."""
        samples = ordinary_scrapes()[self._index + 1 : self._index + 1 + length]
        self._index += length
        if "reset" in damage.kind and samples:
            self._base = samples[0]
            self._epoch = self.at if damage.kind == "reset" else self._epoch
        for sample in samples:
            self.at += abs(damage.amount) if damage.kind == "jump" else 1.0
            yield from self._shown(self._counted_anew(sample), damage)

    def _counted_anew(self, sample: EngineSample) -> EngineSample:
        sample = replace(sample, created_at=self._epoch)
        if self._base is None:
            return sample
        counted = (*COUNTERS, "request_prompt_tokens", "request_generation_tokens")
        return replace(sample, **{c: less(getattr(sample, c), getattr(self._base, c)) for c in counted})

    def _shown(self, sample: EngineSample, damage: Damage) -> Iterator[Scrape | ScrapeFailed]:
        at, last, self._last = self.at, self._last or sample, sample
        match damage.kind:
            case "fail":
                yield ScrapeFailed(at, "timeout")
                return
            case "missing":
                sample = replace(sample, **dict.fromkeys(damage.fields))
            case "torn":
                sample = replace(sample, **{f: getattr(last, f) for f in damage.fields})
            case "back":
                at -= abs(damage.amount)
            case "again":
                yield Scrape(at=at - 1, engines=(last,))
            case "poison":
                sample = replace(sample, inter_token_seconds_sum=(sample.inter_token_seconds_sum or 0) + damage.amount)
        yield Scrape(at=at, engines=(sample,))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), damages), min_size=1, max_size=14),
    st.sampled_from([SEATS_KNOWN, Settings(), Settings(max_num_seqs=12, source="config")]),
    st.integers(0, 200),
)
def test_no_damage_makes_the_core_raise_or_say_a_negative_or_a_nan(
    stretches: list[tuple[int, Damage]], configured: Settings, first: int
) -> None:
    """Resets with and without ``_created``, missing fields, torn, repeated and late scrapes, poisoned sums, gaps."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, configured)
    server = DamagedServer(first)
    for length, damage in stretches:
        for fact in server.facts(length, damage):
            fleet.observe(TARGET, fact)
        check(fleet, server.at)


numbers_of_any_size = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 3.0]), st.floats(0, 1e12))
histograms = st.builds(
    lambda rises, total: Histogram(
        (1.0, 10.0, inf), tuple(accumulate(rises, initial=0.0))[1:], total, float(sum(rises))
    ),
    st.lists(st.integers(0, 50), min_size=3, max_size=3),
    numbers_of_any_size,
)
samples_of_nonsense = st.builds(
    lambda values, prompt, output: EngineSample(
        KEY, **values, request_prompt_tokens=prompt, request_generation_tokens=output
    ),
    st.fixed_dictionaries(dict.fromkeys((*COUNTERS, "running", "waiting", "created_at"), numbers_of_any_size)),
    st.none() | histograms,
    st.none() | histograms,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 100), samples_of_nonsense), min_size=1, max_size=40))
def test_numbers_that_fit_together_in_no_way_do_not_make_it_raise(
    scrapes: list[tuple[float, EngineSample]],
) -> None:
    """Every field of every scrape is drawn by itself; the view after every prefix is still in order."""
    fleet = Fleet(CoreOptions())
    fleet.add(TARGET, SEATS_KNOWN)
    at = START
    for gap, sample in scrapes:
        at += gap
        fleet.observe(TARGET, Scrape(at=at, engines=(sample,)))
        check(fleet, at)


def steady_sample(n: int) -> EngineSample:
    """The ``n``-th scrape of an engine under even load, made without running it."""
    sample = ordinary_scrapes()[100]
    per_scrape = 4 + n % 3
    done = float(5 * n + n % 3)
    counts = tuple(float(c) * done for c in (0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.6, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert sample.request_prompt_tokens is not None
    histogram = replace(sample.request_prompt_tokens, cumulative=counts, total=90 * done + n % 7, count=done)
    return replace(
        sample,
        finished=done,
        prompt_tokens=90.0 * done,
        prompt_tokens_computed=90.0 * done,
        generation_tokens=400.0 * n + n % 5,
        steps=48.0 * n + n % 2,
        inter_token_count=390.0 * n,
        inter_token_seconds_sum=390.0 * n * 0.0205,
        first_token_count=done + per_scrape,
        running=float(8 + n % 5),
        waiting=float(n % 11),
        request_prompt_tokens=histogram,
        request_generation_tokens=replace(histogram, total=80 * done + n % 13),
    )


def watched() -> Fleet:
    """A fleet of one target whose whole state can be pickled."""
    fleet = Fleet(CoreOptions(windows_seconds={"1m": 60.0, "5m": 300.0}))
    fleet.add(TARGET, SEATS_KNOWN)
    return fleet


def sizes_after(scrapes: tuple[int, ...], gap: float) -> list[int]:
    """Pickled size of the whole state after so many scrapes, with a request log on the side."""
    fleet = watched()
    sizes = []
    for n in range(scrapes[-1]):
        at = START + n * gap
        fleet.observe(TARGET, Scrape(at=at, engines=(steady_sample(n),)))
        fleet.observe(TARGET, RequestRecord(at - 1, at, 90, 80))
        if n + 1 in scrapes:
            check(fleet, at)
            sizes.append(len(pickle.dumps(fleet)))
    return sizes


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_scrapes() -> None:
    """Once its windows and samples are full, in a day, the state stays as large as it is."""
    early, late = sizes_after((4500, 6500), gap=20.0)
    # the age of the oldest entries moves the size by some percent; a number kept for each scrape would add a third
    assert late < 1.1 * early
    assert late < 100_000


@pytest.mark.long
def test_memory_does_not_grow_with_the_pace_of_the_scrapes() -> None:
    """Ten scrapes a second fill the windows with no more than a bounded number of points."""
    early, late = sizes_after((3300, 4000), gap=0.1)
    assert late < 1.1 * early
    assert late < 500_000


def test_a_scrape_repeated_forever_does_not_fill_the_memory() -> None:
    """A scrape that comes again with the same time is taken once."""
    fleet = watched()
    scrape = Scrape(at=START, engines=(steady_sample(5),))
    fleet.observe(TARGET, scrape)
    size = len(pickle.dumps(fleet))
    for _ in range(1000):
        fleet.observe(TARGET, scrape)
    assert len(pickle.dumps(fleet)) == size
