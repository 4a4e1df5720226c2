"""Seats and token budget, found from the metrics of engines of which the settings are known and hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.settings.setting import Setting
from kvwatch.core.settings.watch import SettingsWatch
from kvwatch.core.settings.weigh import Weighed
from kvwatch.embedded.settings import RequestShape
from kvwatch.facts import EngineSample, Settings, SettingSource
from tests.core.settings.scheduled import EPOCH, Server, lengths, watched

CHAT = lengths((10, 400), (10, 400))
DOCUMENTS = lengths((500, 3000), (20, 120))
LIGHT_SECONDS = 60.0
WITHIN_SECONDS = 120.0
"""A queue shows the limit that it waits for within two minutes."""


def told(seats: int, budget: int) -> SettingsWatch:
    """A watch that somebody has given these settings."""
    watch = SettingsWatch()
    watch.report({SettingSource.CONFIG: Settings(seats, budget, 16_384, SettingSource.CONFIG)})
    return watch


def after(server: Server, watch: SettingsWatch | None = None, interval: float = 1.0) -> Weighed:
    """What is known after all."""
    (*_, last) = watched(server, watch, interval=interval)
    return last.get(EPOCH)


def queued(rate: float, seconds: float = WITHIN_SECONDS) -> list[tuple[float, float]]:
    """A minute without a queue, then more than can be served; half a request a second before."""
    return [(LIGHT_SECONDS, 0.5), (seconds, rate)]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("interval", [1.0, 5.0, 15.0])
def test_seats_are_found_within_two_minutes_of_a_queue(asynchronous: bool, interval: float) -> None:
    """At scrapes up to a quarter of a minute apart, whether steps are scheduled ahead or not, to the seat."""
    server = Server(37, 2048, 200_000, CHAT, queued(12.0), asynchronous=asynchronous)
    found = after(server, told(256, 2048), interval)
    assert found.max_num_seqs.value == 37
    assert found.max_num_seqs.source is SettingSource.MEASURED
    assert [(said.value, said.source) for said in found.max_num_seqs.refuted] == [(256, SettingSource.CONFIG)]
    assert found.settings.max_num_seqs == 37
    assert found.max_num_batched_tokens == Setting(2048, SettingSource.CONFIG)


@pytest.mark.parametrize(
    ("seats", "shapes", "rate"),
    [
        (4, lengths((100, 1000), (500, 1500)), 2.0),
        (12, lengths((8, 64), (8, 64)), 40.0),
        (48, DOCUMENTS, 40.0),
        (32, [RequestShape(200, 150)] * 64, 40.0),
    ],
    ids=["few", "short", "long prompts", "one length"],
)
def test_seats_are_found_whatever_the_traffic(seats: int, shapes: list[RequestShape], rate: float) -> None:
    """Without a word from anybody."""
    found = after(Server(seats, 8192, 2_000_000, shapes, queued(rate)))
    assert found.max_num_seqs == Setting(seats, SettingSource.MEASURED)


def test_many_seats_are_found_though_some_are_empty_after_each_step() -> None:
    """Of 512 some requests end in every step: no scrape may show all seats taken. By a hundredth, as is said of it."""
    found = after(Server(512, 8192, 3_000_000, CHAT, queued(120.0)), told(1024, 8192))
    assert found.max_num_seqs.value == pytest.approx(512, rel=0.01)
    assert found.max_num_seqs.source is SettingSource.MEASURED


def test_what_is_said_and_seen_keeps_the_name_of_who_said_it() -> None:
    """A measurement that agrees adds nothing."""
    found = after(Server(256, 8192, 2_000_000, CHAT, queued(60.0)), told(256, 8192))
    assert found.max_num_seqs == Setting(256, SettingSource.CONFIG)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kv_tokens", "budget", "shapes", "rate"),
    [
        (16_000, 2048, CHAT, 12.0),
        (16_000, 2048, [RequestShape(64, 192)] * 64, 20.0),
        (16_000, 2048, [RequestShape(2500, 300)] * 64, 2.0),
        (16_000, 2048, lengths((1500, 2900), (200, 400)), 2.0),
        (2_000_000, 2048, lengths((1000, 9000), (1, 1)), 10.0),
        (500_000, 2048, CHAT, 4.0),
    ],
    ids=["memory", "memory in waves", "five that fit", "some that fit", "prefill only", "no queue"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_queue_that_waits_for_something_else_shows_no_seats(
    kv_tokens: int, budget: int, shapes: list[RequestShape], rate: float, seed: int
) -> None:
    """Memory, or the budget: what is said stands, and nothing is inferred where nothing is said."""
    server = Server(256, budget, kv_tokens, shapes, queued(rate, 400.0), seed=seed)
    found = after(server, told(256, budget))
    assert (found.max_num_seqs, found.max_num_batched_tokens) == (
        Setting(256, SettingSource.CONFIG),
        Setting(budget, SettingSource.CONFIG),
    )
    unsaid = after(server)
    assert unsaid.max_num_seqs.source is SettingSource.DEFAULT


@pytest.mark.parametrize(
    ("budget", "rate", "interval"), [(512, 20.0, 1.0), (2048, 20.0, 1.0), (4096, 40.0, 5.0), (4096, 40.0, 15.0)]
)
def test_the_token_budget_is_found_within_two_minutes_of_a_queue(budget: int, rate: float, interval: float) -> None:
    """Prompts wait beside free seats and free memory, and every step computes as many tokens."""
    found = after(Server(256, budget, 2_000_000, DOCUMENTS, queued(rate)), told(256, 4 * budget), interval)
    assert found.max_num_batched_tokens.value == budget
    assert found.max_num_batched_tokens.source is SettingSource.MEASURED
    assert found.max_num_seqs == Setting(256, SettingSource.CONFIG)


def test_a_budget_that_is_said_too_low_is_refuted_by_the_steps() -> None:
    """Steps of more tokens than the budget would let through: it is not used, whatever the seats do."""
    found = after(Server(48, 8192, 2_000_000, DOCUMENTS, queued(40.0)), told(48, 512))
    assert found.max_num_batched_tokens.value != 512
    assert [said.value for said in found.max_num_batched_tokens.refuted] == [512]


def test_without_the_reason_for_waiting_the_budget_is_not_inferred() -> None:
    """Up to vLLM 0.19 what waits may wait for a grammar or a transfer."""

    def old(sample: EngineSample) -> EngineSample:
        return replace(sample, waiting_capacity=None, waiting_deferred=None)

    server = Server(256, 512, 2_000_000, DOCUMENTS, queued(20.0))
    (*_, last) = watched(server, told(256, 2048), show=old)
    assert last.get(EPOCH).max_num_batched_tokens == Setting(2048, SettingSource.CONFIG)


def test_deferred_requests_are_no_queue() -> None:
    """All that waits waits for something else than capacity: nothing is inferred."""

    def deferred(sample: EngineSample) -> EngineSample:
        return replace(sample, waiting_capacity=0.0, waiting_deferred=sample.waiting)

    server = Server(37, 2048, 200_000, CHAT, queued(12.0))
    (*_, last) = watched(server, told(256, 2048), show=deferred)
    assert last.get(EPOCH).max_num_seqs == Setting(256, SettingSource.CONFIG)


def test_more_that_run_than_there_are_said_to_be_seats_refute_that_at_once() -> None:
    """No queue is needed for it; then the defaults that are possible are assumed."""
    found = after(Server(256, 2048, 500_000, CHAT, [(60.0, 6.0)]), told(16, 2048))
    assert [said.value for said in found.max_num_seqs.refuted] == [16]
    assert (found.max_num_seqs.value, found.max_num_seqs.source) == (256, SettingSource.DEFAULT)
    assert found.settings.max_num_seqs is None


def test_a_restart_with_other_seats_is_another_server() -> None:
    """What was measured is forgotten, and measured again; a saved state is taken up for the same process only."""
    watch = told(256, 2048)
    (*_, watch) = watched(Server(37, 2048, 200_000, CHAT, queued(12.0)), watch)
    assert watch.get(EPOCH).max_num_seqs.value == 37
    state = watch.dump()
    assert state is not None

    samples = list(Server(37, 2048, 200_000, CHAT, queued(12.0)).samples())
    same, other = told(256, 2048), told(256, 2048)
    for kept, created in ((same, samples[-1][1].created_at), (other, 1.0)):
        kept.restore(state)
        assert kept.dump() == state
        server = Server(37, 2048, 200_000, CHAT, [(5.0, 0.5)])
        for _ in watched(server, kept, show=lambda sample, created=created: replace(sample, created_at=created)):
            pass
    assert same.get(EPOCH).max_num_seqs.value == 37
    assert other.get(EPOCH).max_num_seqs == Setting(256, SettingSource.CONFIG)


@pytest.mark.parametrize(
    "change",
    [
        {"seats": -1},
        {"seats": True},
        {"exact": 1},
        {"most_running": None},
        {"budget_floor": float("nan")},
        {"budget": 2**40},
    ],
)
def test_a_state_that_cannot_be_one_is_refused(change: dict[str, object]) -> None:
    """And nothing of it is taken up."""
    (*_, watch) = watched(Server(12, 2048, 200_000, CHAT, queued(12.0)))
    state = watch.dump()
    assert state is not None
    fresh = SettingsWatch()
    with pytest.raises((ValueError, TypeError)):
        fresh.restore(state | change)
    assert fresh.dump() is None


def test_dynamo_shows_the_settings_of_its_worker() -> None:
    """They are the server's own word: they count more than the configuration."""

    def shown(sample: EngineSample) -> EngineSample:
        return replace(sample, max_num_seqs=64.0, max_num_batched_tokens=4096.0)

    (*_, last) = watched(Server(64, 4096, 200_000, CHAT, [(5.0, 1.0)]), told(256, 2048), show=shown)
    assert (last.get(EPOCH).max_num_seqs.value, last.get(EPOCH).max_num_seqs.source) == (64, SettingSource.EXPOSITION)
    assert last.get(EPOCH).settings.max_num_batched_tokens == 4096
