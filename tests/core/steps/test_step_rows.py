"""What scrape intervals say about the steps in them, whether the engine is busy or idles now and then."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.steps.mean_step import StepRow
from kvwatch.core.steps.step_rows import StepRows
from kvwatch.facts import EngineKey, EngineSample, Settings

_KV_TOKENS = 1e5
_BUDGET = 8192


def _interval(at: float, **changes: object) -> Interval:
    """A busy second: 50 steps, ten requests decoding, no prompts."""
    made = Interval(
        start=at,
        end=at + 1.0,
        sample=EngineSample(EngineKey("m", "0")),
        settings=Settings(256, _BUDGET, 16_384),
        kv_capacity=KvCapacity(_KV_TOKENS, 16, True),
        step_seconds=0.02,
        steps=50.0,
        generation_tokens=500.0,
        prompt_tokens=0.0,
        prompt_tokens_computed=0.0,
        preemptions=0.0,
        inter_token_seconds=10.0,
        inter_tokens=500.0,
        first_tokens=0.0,
        prefill_seconds=0.0,
        running=(10.0, 10.0),
        waiting=(0.0, 0.0),
        kv_usage_ratio=(0.1, 0.1),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def _rows(intervals: list[Interval]) -> list[StepRow]:
    rows = StepRows()
    return [row for interval in intervals for row in rows.add(interval)]


def _row_ends(*prefills: tuple[float, float] | None) -> list[int]:
    """In which of these seconds rows end, each with so many prefills that took so long together [s]."""
    rows, ends = StepRows(), []
    for at, prefill in enumerate(prefills):
        count, seconds = prefill or (0.0, 0.0)
        if rows.add(_interval(float(at), lengths_count=count, prefill_seconds=seconds)):
            ends.append(at)
    return ends


def test_a_run_spans_ten_mean_prefills() -> None:
    """Of half a second each: a row every five seconds; of five seconds, no more than twenty."""
    assert _row_ends(*[(2.0, 1.0)] * 20) == [4, 9, 14, 19]
    assert _row_ends(*[(2.0, 10.0)] * 41) == [19, 39]


def test_how_long_prefills_take_is_forgotten_by_a_twentieth_with_each_interval_that_has_any() -> None:
    """From 1 s towards 0.1 s: by 0.95 in each; after thirteen of them ten means are 5.6 s, and a row ends."""
    long, short = (1.0, 1.0), (1.0, 0.1)
    mean, seconds, wanted = 1.0, 0, []
    for at in range(60):
        mean = 1.0 if at < 10 else 0.1 + 0.95 * (mean - 0.1)
        seconds += 1
        if seconds >= 10 * mean:
            wanted.append(at)
            seconds = 0
    assert _row_ends(*[long] * 10, *[short] * 50) == wanted
    # seconds without any, and those of a damaged counter, change nothing
    assert _row_ends(*[long] * 10, *[None, (1.0, 601.0)] * 20) == [9, 19, 29, 39, 49]


def test_while_nobody_knows_how_long_prefills_take_a_run_has_twenty_steps() -> None:
    """50 in a second are enough; of one in four seconds it takes twenty seconds. Nor is a silent server waited for."""
    assert _row_ends(None, None) == [0, 1]
    rows = StepRows()
    slow = [_interval(float(at), steps=5.0, step_seconds=0.2, inter_tokens=50.0) for at in range(8)]
    assert [bool(rows.add(one)) for one in slow] == [False, False, False, True] * 2
    rows = StepRows()
    assert all(rows.add(replace(one, prefill_seconds=None)) for one in slow)


def test_a_busy_engine_shows_its_mean_step() -> None:
    """Sequences, memory and time per step; no prompts, so no share of steps has any."""
    row = _rows([_interval(float(at)) for at in range(30)])[-1]
    assert row.composition == pytest.approx((10.0, 0.0, 1e4, 0.0))
    assert row.seconds == pytest.approx(0.02)


def test_memory_is_what_requests_hold_times_the_exact_number_of_them() -> None:
    """The gauges are read where 12 run, the steps had 10 in the mean: K is that of ten."""
    row = _rows([_interval(float(at), running=(12.0, 12.0), kv_usage_ratio=(0.12, 0.12)) for at in range(30)])[-1]
    assert row.composition[2] == pytest.approx(1e4)


@pytest.mark.parametrize("running", [(10.0, 10.0), (10.0, 0.0)])
def test_a_server_that_shows_no_latencies_between_tokens_has_no_rows(running: tuple[float, float]) -> None:
    """Busy or idling: how many decode is not known."""
    silent = {"inter_token_seconds": None, "inter_tokens": None, "first_tokens": None, "running": running}
    assert not _rows([_interval(float(at), **silent) for at in range(60)])


def test_a_preemption_teaches_nothing() -> None:
    """What is computed again shows in no counter."""
    assert not _rows([_interval(float(at), preemptions=1.0) for at in range(30)])


def test_the_share_of_steps_with_prompts_follows_from_what_each_prefill_computed() -> None:
    """Five prompts of 300 tokens a second over 50 steps, of 900 each of which 600 were cached: a tenth of steps."""
    prompts = {"prompt_tokens": 4500.0, "prompt_tokens_computed": 1500.0, "first_tokens": 5.0}
    lengths = {"lengths_count": 5.0, "lengths_prompt_tokens": 4500.0, "prefill_seconds": 0.2}
    row = _rows([_interval(float(at), **prompts, **lengths) for at in range(60)])[-1]
    assert row.composition[1] == pytest.approx(30.0)
    assert row.composition[3] == pytest.approx(0.095, abs=0.005)


def test_an_engine_that_idles_is_seen_by_its_sequences() -> None:
    """Simulated step by step: what decoding sequences see obeys the law, though most of the time nobody is there."""
    base, each, token = 0.02, 0.002, 1e-4
    draw = random.Random(3)
    now, inside, rows = 0.0, [], StepRows()
    arrivals = iter(sorted(draw.uniform(0, 4000) for _ in range(2000)))
    next_at = next(arrivals)
    counters = dict.fromkeys(("steps", "inter", "seconds", "computed", "first"), 0.0)
    found: list[StepRow] = []
    for second in range(4000):
        before = dict(counters)
        while now < second + 1:
            new = 0
            while next_at <= now:
                new, next_at = new + 1, next(arrivals, float("inf"))
            if not inside and not new:
                now = min(next_at, second + 1.0) if next_at > now else now
                if now >= second + 1:
                    break
                continue
            took = base + each * len(inside) + token * 200 * new
            now += took
            counters["steps"] += 1
            counters["inter"] += len(inside)
            counters["seconds"] += took * len(inside)
            counters["computed"] += 200 * new
            counters["first"] += new
            inside = [left - 1 for left in inside if left > 1] + [40] * new
        rise = {name: counters[name] - before[name] for name in counters}
        running = (0.0, float(len(inside)))  # an idle moment in every interval: none is busy throughout
        found += rows.add(
            _interval(
                float(second),
                steps=rise["steps"],
                inter_tokens=rise["inter"],
                inter_token_seconds=rise["seconds"],
                prompt_tokens=rise["computed"],
                prompt_tokens_computed=rise["computed"],
                first_tokens=rise["first"],
                running=running,
                kv_usage_ratio=(0.0, 0.01 * len(inside)),
            )
        )
    assert len(found) > 50
    law = [base + each * row.composition[0] + token * row.composition[1] for row in found]
    ratios = [row.seconds / seconds for row, seconds in zip(found, law, strict=True)]
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("running", "seconds"), [(2.0, 0.02), (4.9, 0.02), (5.0, 0.04)])
def test_an_engine_that_is_busy_at_each_scrape_and_idles_between_is_seen_by_its_sequences(
    running: float, seconds: float
) -> None:
    """25 steps of 20 ms in a second, so half of it is idle: unless five run, when none of it can be.

    Two decode in each step, and a sequence that decodes finds one more beside it in the mean over all time.
    """
    half = {"steps": 25.0, "inter_tokens": 50.0, "inter_token_seconds": 50 * 0.02, "running": (running, running)}
    rows = _rows([_interval(float(at), **half) for at in range(60)])
    assert rows
    assert [row.seconds for row in rows] == pytest.approx([seconds] * len(rows))
    assert rows[-1].composition[0] == pytest.approx(2.0)


def test_what_decoding_sequences_see_counts_prompts_that_are_computed_beside_them() -> None:
    """25 steps of 20 ms in a second, half of it idle; a prompt of 500 tokens each second, computed at one go.

    While one of a sequence's steps lasts, 500 · 0.02 = 10 prompt tokens are computed, a fiftieth of a prompt: so 2.02
    requests hold memory, a thousand tokens each.
    """
    half = {"steps": 25.0, "inter_tokens": 50.0, "inter_token_seconds": 50 * 0.02, "running": (2.0, 2.0)}
    prompt = {"prompt_tokens": 500.0, "prompt_tokens_computed": 500.0, "first_tokens": 1.0}
    usage = {"kv_usage_ratio": (0.02, 0.02)}
    rows = _rows([_interval(float(at), **half, **prompt, **usage) for at in range(60)])
    decoding, prefill, resident, _ = rows[-1].composition
    assert (decoding, prefill) == pytest.approx((2.0, 10.0))
    assert resident == pytest.approx(1000 * (2 + 10 / 500))


@pytest.mark.parametrize(("steps", "idled"), [(46.2, True), (46.4, False)])
def test_an_engine_idles_where_steps_are_eight_percent_further_apart_than_tokens(steps: float, idled: bool) -> None:
    """50 steps of 20 ms fill a second; 46.3 fill it but for a twelfth, which may be what the host does between them."""
    intervals = [
        _interval(float(at), steps=steps, inter_tokens=2 * steps, inter_token_seconds=2 * steps * 0.02, running=(2, 2))
        for at in range(60)
    ]
    assert _rows(intervals)[-1].seconds == pytest.approx(0.02 if idled else 1 / steps)


def test_a_step_longer_than_a_scrape_interval_is_seen_whole() -> None:
    """Steps of a prompt last 2.4 s under a scrape each second: the law holds, though in many intervals no step ends."""
    base, token, prompt, decode_steps = 0.02, 2.5e-4, 9520, 60
    ends: list[tuple[float, int]] = []
    now = 0.0
    while now < 900:
        now += base + token * prompt
        ends.append((now, prompt))
        for _ in range(decode_steps):
            now += base
            ends.append((now, 0))
    found, rows = [], StepRows()
    for second in range(900):
        inside = [computed for end, computed in ends if second < end <= second + 1]
        gaps = [end - before for (before, _), (end, _) in pairwise(ends) if second < end <= second + 1]
        found += rows.add(
            _interval(
                float(second),
                step_seconds=1 / len(inside) if inside else None,
                steps=float(len(inside)),
                inter_tokens=10.0 * len(inside),
                inter_token_seconds=10.0 * sum(gaps),
                prompt_tokens=float(sum(inside)),
                prompt_tokens_computed=float(sum(inside)),
                first_tokens=float(sum(1 for computed in inside if computed)),
                lengths_count=float(sum(1 for computed in inside if computed)),
                prefill_seconds=sum(base + token * computed for computed in inside if computed),
            )
        )
    assert len(found) > 20
    law = sum(base + token * row.composition[1] for row in found)
    # a run of 20 s holds half a prompt of its five or six too many or too few, which evens out over forty runs
    assert sum(row.seconds for row in found) == pytest.approx(law, rel=0.05)


def test_an_engine_that_hangs_is_no_long_step() -> None:
    """No step for a quarter of a minute while requests run: no row is longer than the steps before and after."""
    hangs = {"steps": 0.0, "step_seconds": None, "inter_tokens": 0.0, "inter_token_seconds": 0.0}
    intervals = [_interval(float(at), **(hangs if 20 <= at < 35 else {})) for at in range(60)]
    rows = _rows(intervals)
    assert rows
    assert [row.seconds for row in rows] == pytest.approx([0.02] * len(rows))


def test_busy_spells_too_short_for_a_row_count_among_the_time_of_an_engine_that_idles() -> None:
    """Two busy intervals, one idle one, over and over, prefills of 2 s: there are rows, by latencies."""
    prompts = {"prompt_tokens": 100.0, "prompt_tokens_computed": 100.0, "first_tokens": 1.0}
    lengths = {"lengths_count": 1.0, "lengths_prompt_tokens": 100.0, "prefill_seconds": 2.0}
    nothing = {
        "steps": 0.0,
        "step_seconds": None,
        "inter_tokens": 0.0,
        "inter_token_seconds": 0.0,
        "prefill_seconds": 0.0,
    }
    intervals = [
        _interval(float(at), **({**nothing, "running": (10.0, 0.0)} if at % 3 == 2 else {**prompts, **lengths}))
        for at in range(90)
    ]
    rows = _rows(intervals)
    assert rows
    assert all(row.seconds == pytest.approx(0.02) for row in rows)
    # 10 s between tokens in each of two of three seconds
    assert rows[-1].composition[0] == pytest.approx(1 + 20 / 3, rel=0.1)
