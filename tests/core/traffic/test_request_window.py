"""The requests of a log: exact means, a sample that stands for them, in whatever order they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvwatch.core import ended
from kvwatch.core.traffic.request_log import RequestLog
from kvwatch.core.traffic.request_window import RequestWindow
from kvwatch.embedded.settings import DEFAULT_BLOCK_TOKENS, DEFAULT_MAX_NUM_BATCHED_TOKENS
from kvwatch.facts import RequestRecord
from kvwatch.queueing.demand import block_demand, request_demand
from tests.core.synthetic import START

SIZES = (16, 512)


@dataclass(frozen=True)
class Ended:
    """A request: when it came and ended [s since the start], and its lengths."""

    arrival: float
    finish: float
    s: int
    o: int

    @property
    def g(self) -> float:
        """Its memory-work."""
        return request_demand(self.s, self.o, *SIZES)


def feed(window: RequestWindow, requests: list[Ended]) -> None:
    """Gives a window requests in the order of the list."""
    for r in requests:
        window.update(START + r.finish, r.finish - r.arrival, r.s, r.o, r.g)


def traffic(rate: float, seconds: float, seed: int = 1, token_seconds: float = 0.02) -> list[Ended]:
    """Poisson traffic in which long requests take long, by when they ended."""
    rng = np.random.default_rng(seed)
    came = np.cumsum(rng.exponential(1 / rate, int(rate * seconds * 1.3)))
    requests = []
    for arrival in came[came < seconds]:
        s, o = int(rng.integers(10, 1000)), int(rng.geometric(1 / 200))
        requests.append(Ended(float(arrival), float(arrival) + o * token_seconds, s, o))
    return sorted(requests, key=lambda r: r.finish)


@settings(deadline=None, max_examples=10)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_records_come_does_not_matter(random: object) -> None:
    """Late and disordered ones find their place: the exact means are the same."""
    requests = traffic(1.5, 300)
    shuffled = list(requests)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = RequestWindow(120.0), RequestWindow(120.0)
    feed(one, requests)
    feed(other, shuffled)
    now = START + requests[-1].finish
    a, b = one.sample(now, SIZES, 1), other.sample(now, SIZES, 1)
    assert a is not None
    assert b is not None
    assert (a.requests, a.demand) == pytest.approx((b.requests, b.demand))
    inside = [r for r in requests if r.finish > requests[-1].finish - 119]
    assert a.demand == pytest.approx(float(np.mean([r.g for r in inside])), rel=0.03)


def test_at_any_rate_means_are_exact_and_the_pool_stands_for_all() -> None:
    """Two hundred a second: the sums hold every request, the pool's own mean is within its sampling noise."""
    requests = [r for r in traffic(200, 140) if r.finish <= 140]
    window = RequestWindow(120.0)
    feed(window, requests)
    now = START + 140
    sample = window.sample(now, SIZES, 1)
    assert sample is not None
    inside = [r for r in requests if r.finish > 20]
    assert sample.demand == pytest.approx(float(np.mean([r.g for r in inside])), rel=0.01)
    assert sample.moments.mean_s == pytest.approx(float(np.mean([r.s for r in inside])), rel=0.01)
    pool = block_demand(sample.prompt_tokens, sample.output_tokens, *SIZES)
    assert float(pool.mean()) == pytest.approx(sample.demand, rel=0.15)
    assert len(pool) == 256


def test_memory_is_bounded_whatever_the_rate_and_the_order() -> None:
    """An hour at a hundred a second is a few thousand pairs."""
    window = RequestWindow(120.0)
    rng = np.random.default_rng(1)
    kept = []
    for n in range(120_000):
        window.update(START + n / 30 - float(rng.exponential(30)), 1.0, 100, 100, 1.0)
        if n % 20_000 == 19_999:
            kept.append(sum(len(row[5]) for part in ("recent", "minutes") for row in window.dump()[part]))  # type: ignore[attr-defined]
    assert max(kept) < 122 * 12 + 62 * 24


def test_after_the_engine_ran_empty_requests_still_inside_are_allowed_for() -> None:
    """Those that have ended a minute after it was empty are the short ones; their weights make up for it."""
    errors, plain = [], []
    for seed in range(20):
        requests = traffic(8, 60, seed, token_seconds=0.04)
        window = RequestWindow(120.0)
        feed(window, [r for r in requests if r.finish <= 60])
        truth = float(np.mean([r.g for r in requests]))
        told, biased = window.sample(START + 60, SIZES, 1, empty_at=START), window.sample(START + 60, SIZES, 1)
        assert told is not None
        assert biased is not None
        errors.append(told.demand / truth - 1)
        plain.append(biased.demand / truth - 1)
    assert np.mean(plain) < -0.15
    assert abs(np.mean(errors)) < 0.05


def test_it_reaches_further_back_while_requests_are_few_but_not_beyond_a_change() -> None:
    """A hundred requests an hour ago still count if they are needed, what came before a change never."""
    window = RequestWindow(120.0)
    feed(window, [Ended(n * 30 - 1, n * 30, 100 if n < 60 else 200, 50) for n in range(100)])
    now = START + 99 * 30
    near = window.sample(now, SIZES, 1)
    far = window.sample(now, SIZES, 1, reach=(1000, float("-inf")))
    since = window.sample(now, SIZES, 1, reach=(1000, START + 60 * 30))
    assert near is not None
    assert far is not None
    assert since is not None
    assert near.requests < 6
    assert far.requests > 90
    assert 35 <= since.requests <= 41
    assert since.moments.mean_s == 200
    assert window.sample(now + 7200, SIZES, 1, reach=(1000, float("-inf"))) is None


def test_what_ended_before_the_window_was_cleared_stays_out_however_late_it_comes() -> None:
    """A record of before a restart of the server, told after it."""
    window = RequestWindow(120.0)
    feed(window, traffic(3, 100))
    window.clear(START + 100)
    feed(window, traffic(3, 100, seed=2)[:200])
    assert window.sample(START + 101, SIZES, 1) is None
    feed(window, [Ended(100, 101, 100, 50)])
    sample = window.sample(START + 102, SIZES, 1)
    assert sample is not None
    assert sample.requests == 1


def test_another_block_size_counts_memory_work_anew() -> None:
    """Records that came before the first scrape had shown how large blocks are."""
    window = RequestWindow(120.0)
    requests = [r for r in traffic(2, 100) if r.finish <= 100]
    feed(window, requests)
    window.resize(128, 512)
    sample = window.sample(START + 100, (128, 512), 1)
    assert sample is not None
    exact = [request_demand(r.s, r.o, 128, 512) for r in requests]
    assert sample.demand == pytest.approx(float(np.mean(exact)), rel=0.01)


def log_of(records: list[RequestRecord], now: float = START + 1000) -> RequestLog:
    """A log that was told these, in this order."""
    log = RequestLog(120.0, 20)
    for record in records:
        if log.admit(record, now):
            log.update_request(ended.Ended(record, 1.0, *SIZES))
    return log


def counted(log: RequestLog, now: float) -> float:
    """Requests in the window before ``now``."""
    sample = log.sample(now, 1)
    return sample.requests if sample is not None else 0


def test_the_very_same_record_counts_once() -> None:
    """An exporter that got no answer sends its spans again."""
    records = [RequestRecord(START + n * 0.1234567, START + n * 0.1234567 + 1.2345678, 9, 9) for n in range(1, 100)]
    assert counted(log_of(records + records), START + 20) == 99


def test_requests_that_coarse_stamps_make_look_alike_all_count() -> None:
    """Stamps of whole seconds, and fixed lengths: a benchmark's requests are all the same line."""
    records = [RequestRecord(START + 1, START + 2, 100, 50)] * 40 + [RequestRecord(START + 1.25, START + 2.5, 9, 9)] * 5
    assert counted(log_of(records), START + 20) == 45


def test_two_sources_that_tell_of_the_same_requests_count_once() -> None:
    """The first leads; the second takes over when the first falls silent for a window, or if only it names tenants."""
    spans = [RequestRecord(START + n, START + n + 1, 100, 50, source="otlp") for n in range(100)]
    lines = [RequestRecord(START + n, START + n + 1, 100, 50, source="log") for n in range(300)]
    both = sorted([*spans, *lines], key=lambda r: r.finish)
    log = log_of(both)
    assert counted(log, START + 100.5) <= 101
    assert counted(log, START + 300) == pytest.approx(80, abs=2)
    named = [RequestRecord(START + n, START + n + 1, 100, 50, source="log", tenant="a") for n in range(100)]
    log = log_of(sorted([*spans, *named], key=lambda r: r.finish))
    uses = log.uses(START + 101)
    assert uses is not None
    assert [u.label for u in uses.tenants] == ["a"]


def test_records_from_a_clock_hours_ahead_are_passed_over() -> None:
    """They would otherwise push all others out of the window."""
    good = [RequestRecord(START + n, START + n + 1, 100, 50) for n in range(50)]
    ahead = RequestRecord(START + 7200, START + 7201, 100, 50)
    assert counted(log_of([ahead, *good], START + 51), START + 51) == 50


@pytest.mark.parametrize(
    "record",
    [
        RequestRecord(START, START + 1, 0, 0, completed=False),
        RequestRecord(START, START + 1, 0, 50),
        RequestRecord(START, START + 1, 50, 0),
        RequestRecord(START, START + 1, 2**53, 2**53),
        RequestRecord(START, START + 1, 50, 50, completed=False),
    ],
)
def test_records_without_usable_lengths_move_no_mean(record: RequestRecord) -> None:
    """Failed, empty, absurd."""
    assert counted(log_of([record]), START + 2) == 0


def test_a_record_that_ends_before_it_began_has_no_lifetime() -> None:
    """Clocks of two machines: the lengths count all the same."""
    log = log_of([RequestRecord(START + 5, START + 1, 100, 50)])
    sample = log.sample(START + 2, 1, empty_at=START)
    assert sample is not None
    assert sample.demand == pytest.approx(request_demand(100, 50, *SIZES))


def test_a_request_of_an_engine_without_an_interval_has_the_sizes_that_are_assumed() -> None:
    """Those of the newest interval else; its tokens are counted in blocks and chunks of them."""
    of_none = ended.Ended.of(RequestRecord(START, START + 1, 10, 5), 1.0, None)
    assert (of_none.block_tokens, of_none.chunk_tokens) == (DEFAULT_BLOCK_TOKENS, DEFAULT_MAX_NUM_BATCHED_TOKENS)
