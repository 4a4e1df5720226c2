"""M by what runs, look by look, of requests whose number, lengths and memory are given: all worked out by hand.

Ten requests a second of 100 + 50 tokens are served in steps of 20 ms, and hold 6,250 token·steps each. Half of the
memory is in use, so that M is 6,250 · 10 / (0.5 · 50) = 2,500 tokens.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, sqrt
from types import SimpleNamespace

import pytest

from kvwatch.core.capacity.kv_capacity_check import Belief, KvCapacityCheck
from kvwatch.core.cause import Cause
from kvwatch.core.ended import Ended
from kvwatch.core.interval import Interval, KvCapacity
from kvwatch.core.traffic.request_demand import DemandEstimates
from kvwatch.facts import EngineKey, EngineSample, RequestRecord
from kvwatch.stats.group_moments import PairMoments

M = 2500.0
PROMPT, OUTPUT, STEPS, HELD = 100.0, 50.0, 50.0, 6250.0
SAMPLE = EngineSample(EngineKey("m", "0"))
LOOK = 10
"""Seconds from one look to the next."""


class Watched:
    """A check and the engine that it looks at, second by second; its requests are as ``demand`` says."""

    def __init__(self, shown: float | None, *, exact: bool = True, **changes: object) -> None:
        moments = PairMoments(1000, 100, PROMPT, OUTPUT, 0.0, 0.0, 0.0)
        self.demand = replace(
            DemandEstimates({"moments": HELD}, 1000, moments, STEPS, cached_ratio=0.0, since=0.0),
            **changes,  # type: ignore[arg-type]
        )
        self.check = KvCapacityCheck(SimpleNamespace(get=lambda _: self.demand))  # type: ignore[arg-type]
        self.shown = KvCapacity(shown, 16, exact=exact) if shown is not None else None
        self.at = 0

    def run(self, seconds: int, **changes: object) -> Belief:
        """Lets seconds go by; what is to be believed after them."""
        for _ in range(seconds):
            self.at += 1
            second = Interval(
                start=self.at - 1.0,
                end=float(self.at),
                sample=SAMPLE,
                kv_capacity_shown=self.shown,
                step_seconds=0.02,
                generation_tokens=10 * OUTPUT,
                prompt_tokens=10 * PROMPT,
                kv_usage_ratio=(0.5, 0.5),
            )
            self.check.update(replace(second, **changes))  # type: ignore[arg-type]
        return self.check.get(0.0)

    def looks(self, count: int, **changes: object) -> Belief:
        """The same for so many looks: the first is at the first second, or follows those that there were."""
        return self.run(count * LOOK if self.at else (count - 1) * LOOK + 1, **changes)

    def hold(self, factor: float) -> None:
        """From now on what runs says that M is so many times as large."""
        self.demand = replace(self.demand, by_method={"moments": HELD * factor})


@pytest.mark.parametrize(("requests", "tokens"), [(59.0, None), (60.0, M)])
def test_a_size_that_is_not_shown_is_known_from_sixty_requests_on(requests: float, tokens: float | None) -> None:
    """E[g] is then known to an eighth."""
    found = Watched(None, requests=requests).looks(1)
    assert found == Belief(None, tokens if tokens is None else pytest.approx(tokens), refuted=False)


@pytest.mark.parametrize("apart", [1.49, 1 / 1.49])
def test_a_size_within_half_as_much_again_is_never_refuted(apart: float) -> None:
    """In either direction, however often it is looked at."""
    assert Watched(M / apart).looks(60) == Belief(M / apart)


@pytest.mark.parametrize("apart", [1.51, 1 / 1.51, 2.99])
def test_a_size_farther_off_is_refuted_at_the_third_look(apart: float) -> None:
    """Half a minute, in which most that are inside are replaced; M is then that of what runs."""
    watched = Watched(M / apart)
    assert watched.looks(2) == Belief(M / apart)
    assert watched.looks(1) == Belief(M / apart, pytest.approx(M), refuted=True)


@pytest.mark.parametrize("apart", [3.01, 1 / 3.01])
def test_a_size_off_by_a_factor_of_three_is_refuted_at_the_first_look(apart: float) -> None:
    """No burst does as much."""
    assert Watched(M / apart).looks(1) == Belief(M / apart, pytest.approx(M), refuted=True)


def test_looks_that_doubt_must_follow_each_other() -> None:
    """Two, then one that agrees, then two: nothing."""
    watched = Watched(M / 1.6)
    watched.looks(2)
    watched.hold(1.4 / 1.6)
    watched.looks(1)
    watched.hold(1.0)
    assert not watched.looks(2).refuted
    assert watched.looks(1).refuted


@pytest.mark.parametrize(("apart", "looks"), [(1.24, 30), (1.26, 3)])
def test_what_was_confirmed_is_doubted_for_five_minutes(apart: float, looks: int) -> None:
    """Three looks within a quarter confirm; then it is traffic that changes, and not a label."""
    watched = Watched(M / apart)
    watched.looks(3)
    watched.hold(2.0)
    assert not watched.looks(looks - 1).refuted
    assert watched.looks(1).refuted


def test_nothing_is_refuted_at_once_where_it_was_confirmed() -> None:
    """Nor by a factor of ten."""
    watched = Watched(M)
    watched.looks(3)
    watched.hold(10.0)
    assert not watched.looks(29).refuted
    assert watched.looks(1).refuted


def test_a_refuted_size_that_three_looks_confirm_is_believed_again() -> None:
    """Two do not; and from then on the one that is shown is used."""
    watched = Watched(M)
    watched.hold(4.0)
    assert watched.looks(1) == Belief(M, pytest.approx(4 * M), refuted=True)
    watched.hold(1.0)
    assert watched.looks(2).refuted
    assert watched.looks(1) == Belief(M)


def test_what_is_worked_out_follows_what_runs_by_a_fifth_at_each_look() -> None:
    """In the logarithm; a size that is off by more than half is another one, and taken as it is."""
    watched = Watched(None)
    watched.looks(1)
    watched.hold(1.2)
    assert watched.looks(1).tokens == pytest.approx(exp(0.8 * log(M) + 0.2 * log(1.2 * M)))
    watched.hold(2.0)
    assert watched.looks(1).tokens == pytest.approx(2 * M)
    watched.hold(1.0)
    assert watched.looks(1).tokens == pytest.approx(M)


@pytest.mark.parametrize(
    ("cached", "least"), [(0.3, HELD - 0.3 * PROMPT * STEPS), (0.4, HELD - 0.4 * PROMPT * STEPS), (0.5, None)]
)
def test_what_prompts_may_share_leaves_a_range_whose_middle_is_taken_where_it_is_narrow(
    cached: float, least: float | None
) -> None:
    """Of 100 tokens for 50 steps; ends that are farther apart than half as much again determine nothing."""
    watched = Watched(M / 6, cached_ratio=cached)
    tokens = None if least is None else pytest.approx(sqrt(least * HELD) / HELD * M)
    assert watched.looks(1) == Belief(M / 6, tokens, refuted=True)


def test_outputs_are_never_shared() -> None:
    """Prompts of 1,000 tokens that may all be one: half of the outputs' square is left, 1,250 of 6,250."""
    moments = PairMoments(1000, 100, 1000.0, OUTPUT, 0.0, 0.0, 0.0)
    low = M * 1250 / HELD
    for shown, refuted in ((low / 1.49, False), (low / 1.51, True), (M * 1.49, False), (M * 1.51, True)):
        found = Watched(shown, moments=moments, cached_ratio=1.0).looks(3)
        assert found == Belief(shown, None, refuted=refuted)


@pytest.mark.parametrize(("hits", "refuted"), [(None, False), (300.0, True), (1000.0, False), (5000.0, False)])
def test_without_a_count_of_what_was_computed_the_cache_hits_tell_how_much_may_be_shared(
    hits: float | None, refuted: bool
) -> None:
    """300 of the 1,000 prompt tokens of a second: at least 4,750 are held for each request, 1.9 times as shown.

    Of the first second nothing is known, so that it is the fourth look that refutes.
    """
    watched = Watched(M / 2.5, cached_ratio=None)
    for second in range(31):
        sample = replace(SAMPLE, prefix_cache_hits=None if hits is None else hits * second)
        found = watched.run(1, sample=sample)
    assert found.refuted is refuted


@pytest.mark.parametrize(("shown", "refuted"), [(2 * M, False), (M / 2, True)])
@pytest.mark.parametrize("why", ["deferred", "one token"])
def test_memory_that_others_may_hold_makes_no_size_too_large(shown: float, refuted: bool, why: str) -> None:
    """A decode server receives what nobody runs yet; a prefill server, of outputs of a token, keeps what it has made.

    A size that is too small for those that run is refuted there too.
    """
    watched = Watched(shown)
    changes: dict[str, object] = {}
    if why == "deferred":
        changes = {"sample": replace(SAMPLE, waiting_deferred=1.0)}
    else:
        watched.demand = replace(watched.demand, moments=PairMoments(1000, 100, PROMPT, 1.0, 0.0, 0.0, 0.0))
        changes = {"generation_tokens": 10.0}
    assert watched.looks(3, **changes).refuted is refuted


def test_under_speculation_lengths_are_in_units_of_what_a_step_makes() -> None:
    """Three tokens a step: 50 units are 150 tokens, and the memory-work is in tokens throughout."""
    watched = Watched(None, by_method={"moments": 3 * HELD}, cached_ratio=0.3)
    found = watched.looks(1, unit_tokens=3.0, generation_tokens=10 * 3 * OUTPUT)
    least = 3 * HELD - 0.3 * 3 * PROMPT * STEPS
    assert found.tokens == pytest.approx(3 * M * sqrt(least / (3 * HELD)))


@pytest.mark.parametrize(("exact", "refuted"), [(True, True), (False, False)])
@pytest.mark.parametrize("by_log", [True, False])
def test_a_request_longer_than_the_memory_refutes_it_at_the_next_look(exact: bool, refuted: bool, by_log: bool) -> None:
    """One of a log, or the mean of those that finished; in a hybrid model some layers hold a part of it only."""
    watched = Watched(M, exact=exact)
    watched.run(2)
    changes: dict[str, object] = {}
    if by_log:
        watched.check.update_request(Ended(RequestRecord(0.0, 2.0, 2400, 101), 1.0, 16, 2048))
    else:
        changes = {"lengths_count": 2.0, "lengths_prompt_tokens": 4800.0, "lengths_output_tokens": 202.0}
    assert watched.run(LOOK, **changes).refuted is refuted


@pytest.mark.parametrize(("completed", "share", "tokens"), [(False, 1.0, 101), (True, 0.5, 101), (True, 1.0, 100)])
def test_a_request_that_may_not_have_been_in_memory_whole_refutes_nothing(
    completed: bool, share: float, tokens: int
) -> None:
    """It was given up, another engine may have served it, or it fits to the token."""
    watched = Watched(M)
    watched.run(2)
    watched.check.update_request(Ended(RequestRecord(0.0, 2.0, 2400, tokens, completed=completed), share, 16, 2048))
    assert not watched.run(LOOK).refuted


def test_another_size_that_is_shown_is_another_question() -> None:
    """What was refuted or confirmed of the one before says nothing of it."""
    watched = Watched(M / 4)
    assert watched.looks(1).refuted
    watched.shown = KvCapacity(M, 16, exact=True)
    assert watched.run(1) == Belief(M)
    watched.looks(3)
    watched.shown = KvCapacity(M / 4, 16, exact=True)
    assert watched.looks(1).refuted
    watched.shown = None
    assert watched.run(1) == Belief()


def test_a_gauge_that_shows_no_share_takes_back_what_it_showed() -> None:
    """The M that was worked out, and all that was seen of memory in use."""
    watched = Watched(None)
    watched.looks(1)
    assert watched.run(1, usage_out_of_range=True, kv_usage_ratio=(None, None)) == Belief()
    assert watched.looks(1, usage_out_of_range=True, kv_usage_ratio=(None, None)) == Belief()


def test_after_a_restart_what_was_confirmed_is_looked_at_from_the_beginning() -> None:
    """Requests that were too long for it are gone with the old process; aborts change nothing about the label."""
    watched = Watched(M)
    watched.looks(3)
    watched.check.update_request(Ended(RequestRecord(0.0, 2.0, 2400, 101), 1.0, 16, 2048))
    watched.check.begin_anew(Cause.RESTART)
    assert not watched.looks(1).refuted
    watched.hold(4.0)
    assert watched.looks(1).refuted
    aborted = Watched(M)
    aborted.looks(3)
    aborted.check.begin_anew(Cause.ABORTS)
    aborted.hold(4.0)
    assert not aborted.looks(29).refuted
    assert aborted.looks(1).refuted


@pytest.mark.parametrize(
    "changes",
    [
        {"cause": Cause.ABORTS},
        {"representative": False},
        {"kv_usage_ratio": (None, 0.5)},
        {"kv_usage_ratio": (0.5, None)},
        {"step_seconds": None},
        {"generation_tokens": None},
        {"kv_usage_ratio": (0.0, 0.0)},
        {"generation_tokens": 0.0},
    ],
)
def test_an_interval_that_does_not_show_memory_in_use_determines_nothing(changes: dict[str, object]) -> None:
    """And refutes nothing."""
    assert Watched(None).looks(1, **changes) == Belief()
    assert Watched(4 * M).looks(40, **changes) == Belief(4 * M)


@pytest.mark.parametrize("changes", [{"since": None}, {"since": 100.0}, {"by_method": {}}, {"requests": 19.0}])
def test_without_enough_known_of_the_requests_nothing_is_refuted(changes: dict[str, object]) -> None:
    """No window of lengths, one that begins after what was seen of memory, no lengths, or those of too few."""
    assert Watched(4 * M, **changes).looks(9) == Belief(4 * M)


def test_twenty_requests_are_enough_and_the_log_knows_their_memory_best() -> None:
    """Where both say it, the log's g counts."""
    watched = Watched(4 * M, requests=20.0, by_method={"moments": 2 * HELD, "joint": HELD})
    assert watched.looks(1) == Belief(4 * M, pytest.approx(M), refuted=True)


def test_memory_in_use_is_the_mean_of_both_ends_and_looks_are_ten_seconds_apart() -> None:
    """From 0.4 to 0.6 half is in use; what has changed is seen at the next look and not before."""
    watched = Watched(None)
    assert watched.run(1, kv_usage_ratio=(0.4, 0.6)).tokens == pytest.approx(M)
    watched.hold(2.0)
    assert watched.run(LOOK - 1).tokens == pytest.approx(M)
    assert watched.run(1).tokens == pytest.approx(2 * M)


@pytest.mark.parametrize(
    "change", [{"shown": 0.0}, {"shown": True}, {"tokens": -1.0}, {"tokens": "7"}, {"refuted": 1}, {"refuted": None}]
)
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    """What was believed stays as it was."""
    watched = Watched(M / 4)
    watched.looks(1)
    state = watched.check.dump()
    again = KvCapacityCheck(watched.check._population)
    with pytest.raises((ValueError, TypeError)):
        again.restore(state | change)
    assert again.get(0.0) == Belief()
    again.restore(state)
    assert again.get(0.0) == watched.check.get(0.0) == Belief(M / 4, pytest.approx(M), refuted=True)


@pytest.mark.parametrize("hits", [None, 5000.0])
@pytest.mark.parametrize(("apart", "refuted"), [(1.49, False), (1.51, True)])
def test_no_more_than_whole_prompts_can_be_shared(hits: float | None, apart: float, refuted: bool) -> None:
    """Blocks make a request hold 7,000: without its whole prompt 2,000 are left, whatever else the cache finds."""
    low = M * 2000 / HELD
    watched = Watched(low / apart, cached_ratio=None, by_method={"moments": 7000.0})
    watched.run(1, sample=replace(SAMPLE, prefix_cache_hits=None if hits is None else 0.0))
    for second in range(1, 41):
        found = watched.run(1, sample=replace(SAMPLE, prefix_cache_hits=None if hits is None else hits * second))
    assert found.refuted is refuted


@pytest.mark.parametrize("why", ["aborts", "out of range"])
def test_memory_in_use_begins_again_where_what_was_seen_of_it_says_nothing_any_more(why: str) -> None:
    """A quarter is in use from then on, and M is that of a quarter: nothing of the half before is left in it."""
    watched = Watched(None)
    watched.looks(1)
    if why == "aborts":
        watched.check.begin_anew(Cause.ABORTS)
    else:
        watched.run(1, usage_out_of_range=True, kv_usage_ratio=(None, None))
    assert watched.run(LOOK, kv_usage_ratio=(0.25, 0.25)).tokens == pytest.approx(2 * M)


def test_a_request_that_makes_three_tokens_in_its_one_step_is_no_prefill() -> None:
    """Outputs are counted in tokens there: M is too large for those that run, and nobody else holds any."""
    one_step = PairMoments(1000, 100, PROMPT, 1.0, 0.0, 0.0, 0.0)
    watched = Watched(2 * M, moments=one_step)
    assert watched.looks(3, unit_tokens=3.0, generation_tokens=30.0).refuted
