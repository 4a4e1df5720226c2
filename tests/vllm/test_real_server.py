"""kvwatch beside a real vLLM: light load, overload, sudden death, return. One story, a claim a test."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.vllm.conftest import SHARED
from tests.vllm.daemon import KVWATCH, Reading
from tests.vllm.scenario import HEAVY, MISINFORMED, STALE_SECONDS, UNINFORMED, WRONG_SEATS, Story, tell
from tests.vllm.server import VllmServer

pytestmark = pytest.mark.vllm

WINDOW_SECONDS = 60.0
ESTIMATES = ("kvwatch_arrival_rate", "kvwatch_service_rate", "kvwatch_utilization", "kvwatch_queue_length")
NEVER_NEGATIVE = (
    "kvwatch_arrival_rate",
    "kvwatch_service_rate",
    "kvwatch_utilization",
    "kvwatch_observed_service_rate",
    "kvwatch_step_seconds",
    "kvwatch_request_demand_token_steps",
    "kvwatch_kv_capacity_tokens",
    "kvwatch_queue_length",
)


@pytest.fixture(scope="module")
def story(shared_server: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, told once; about six minutes."""
    return asyncio.run(tell(shared_server, tmp_path_factory.mktemp("vllm")))


def values(readings: Iterable[Reading], name: str) -> list[float]:
    """Every sample of ``name`` in ``readings``."""
    return [value for reading in readings for value in reading.samples.get(name, {}).values()]


def arrival_rate_error(story: Story, phase: tuple[float, float]) -> float:
    """Relative error of kvwatch's last λ in ``phase`` against what the load sent in the same minute."""
    reading = story.last_before(phase[1])
    end = reading.newest_scrape
    assert end - WINDOW_SECONDS > phase[0], "the window does not lie within the phase"
    estimated = reading.get("kvwatch_arrival_rate", window="1m")
    assert estimated is not None
    sent = story.ledger.arrivals(end - WINDOW_SECONDS, end)
    return abs(estimated * WINDOW_SECONDS - sent) / sent


def test_light_load_is_counted_right(story: Story) -> None:
    """λ over a minute is within 5% of what was sent in it.

    The count itself is exact. What differs is at the window's ends: requests that the front end has accepted and the
    engine has not, and a window's start between two scrapes; of some 200 requests that may be a handful.
    """
    assert arrival_rate_error(story, story.light) < 0.05


def test_overload_is_counted_right(story: Story) -> None:
    """λ is as right when half of what arrives only joins the queue, for which vLLM has no counter."""
    assert arrival_rate_error(story, story.heavy) < 0.05


def test_utilization_orders_the_loads(story: Story) -> None:
    """ρ is below the stable limit under light load, above it and above 1 in overload."""
    light, heavy = story.last_before(story.light[1]), story.last_before(story.heavy[1])
    low, high = (r.get("kvwatch_utilization", window="1m") for r in (light, heavy))
    limits = [r.get("kvwatch_stable_limit") for r in (light, heavy)]
    assert low is not None
    assert high is not None
    assert limits[0] is not None
    assert limits[1] is not None
    assert 0 < low < limits[0] <= 1
    assert high > max(limits[1], 1)


def test_service_rate_in_overload_is_what_was_served(story: Story) -> None:
    """While requests wait, the model's μ and the observed one are within 10% of what clients got answered.

    A count of 45 s of completions, some 400, may differ by a batch of 12 at either end of the two windows.
    """
    reading = story.last_before(story.heavy[1])
    end = reading.newest_scrape
    served = story.ledger.answered(end - 45.0, end) / 45.0
    assert reading.get("kvwatch_observed_service_rate") == pytest.approx(served, rel=0.1)
    assert reading.get("kvwatch_service_rate") == pytest.approx(served, rel=0.1)


def test_seats_bind(story: Story) -> None:
    """With 12 seats and memory for more than a hundred requests, seats are what limits."""
    assert story.last_before(story.heavy[1]).get("kvwatch_binding_limit", limit="seqs") == 1


def test_seats_and_budget_are_found_without_a_flag(story: Story) -> None:
    """On the command line of the process that listens on the target's port, from the first scrapes on."""
    for reading in (story.between(story.light[0] + 10.0, story.heavy[1])[0], story.readings[-1]):
        for name, value in (("max_num_seqs", SHARED.seats), ("max_num_batched_tokens", SHARED.budget_tokens)):
            assert reading.get("kvwatch_setting_info", setting=name, value=str(value), source="process") == 1
        assert "kvwatch_setting_refuted" not in reading.samples


def test_wrong_seats_are_noticed_in_a_queue_and_overruled(story: Story) -> None:
    """By the metrics alone, within the 72 s of overload: the flag is doubted, and the limit that binds follows."""
    reading = story.unseeing_before(story.heavy[1])
    about = {"target": MISINFORMED, "setting": "max_num_seqs"}
    assert reading.get("kvwatch_setting_info", **about, value=str(SHARED.seats), source="measured") == 1
    assert reading.get("kvwatch_setting_refuted", **about, value=str(WRONG_SEATS), source="config") == 1
    assert reading.get("kvwatch_binding_limit", target=MISINFORMED, limit="seqs") == 1
    before = story.unseeing_before(story.light[1])
    assert before.get("kvwatch_setting_info", **about, value=str(WRONG_SEATS), source="config") == 1


def test_seats_that_nobody_gives_are_found_in_a_queue(story: Story) -> None:
    """By the metrics alone; until then they are assumed, and μ says that it hangs on that."""
    before, after = story.unseeing_before(story.light[1]), story.unseeing_before(story.heavy[1])
    about = {"target": UNINFORMED, "setting": "max_num_seqs"}
    assert before.get("kvwatch_setting_info", **about, source="default") == 1
    assert before.get("kvwatch_estimate_valid", target=UNINFORMED, estimate="service_rate", reason="ok") is None
    assert after.get("kvwatch_setting_info", **about, value=str(SHARED.seats), source="measured") == 1


def test_the_rate_is_as_right_whoever_finds_the_seats(story: Story) -> None:
    """In overload all three say within 10% what was served, as with flags."""
    served = story.last_before(story.heavy[1]).get("kvwatch_observed_service_rate")
    reading = story.unseeing_before(story.heavy[1])
    for target in (MISINFORMED, UNINFORMED):
        assert reading.get("kvwatch_service_rate", target=target) == pytest.approx(served, rel=0.1)


def test_capacity_is_the_cache_less_the_null_block(story: Story) -> None:
    """M is exactly what vLLM reports less one block, which its allocator never gives out."""
    assert story.vllm is not None
    info = story.vllm.samples["vllm:cache_config_info"]
    (labels,) = [dict(labels) for labels in info]
    expected = int(labels["kv_cache_size_tokens"]) - int(labels["block_size"])
    assert expected == (SHARED.blocks - 1) * SHARED.block_tokens
    assert set(values(story.readings, "kvwatch_kv_capacity_tokens")) == {float(expected)}


def test_queue_holds_what_was_sent_and_is_neither_running_nor_answered(story: Story) -> None:
    """Queue and running together are what the load had in flight within a second of that scrape, in nine of ten.

    A second is what a request takes at most through a busy front end, in and out, unless the machine stalls.
    """
    readings = [reading for reading in story.between(story.heavy[0] + 5.0, story.heavy[1]) if reading.prompt]
    assert len(readings) > 30
    agree = 0
    for reading in readings:
        scraped = reading.newest_scrape
        in_flight = [story.ledger.in_flight(scraped + tenths / 10) for tenths in range(-10, 11)]
        waiting, running = reading.get("kvwatch_queue_length"), reading.get("kvwatch_running_requests")
        assert waiting is not None
        assert running is not None
        agree += min(in_flight) <= waiting + running <= max(in_flight)
        assert running <= SHARED.seats
    assert agree / len(readings) > 0.9


def test_queue_is_empty_under_light_load(story: Story) -> None:
    """At a third of capacity the queue that kvwatch shows is short, and its trend is not upward for sure."""
    readings = story.between(story.light[0] + 10.0, story.light[1])
    lengths = values(readings, "kvwatch_queue_length")
    assert sorted(lengths)[len(lengths) // 2] == 0
    slope = readings[-1].get("kvwatch_queue_slope_lower")
    assert slope is not None
    assert slope <= 0


def test_queue_grows_for_sure_in_overload(story: Story) -> None:
    """The 90% interval of the queue's trend is above 0, and below the rate at which everything would have queued."""
    reading = story.last_before(story.heavy[1])
    lower, upper = (reading.get(f"kvwatch_queue_slope_{side}") for side in ("lower", "upper"))
    assert lower is not None
    assert upper is not None
    assert 0 < lower <= upper < HEAVY * story.capacity


def test_every_estimate_has_a_validity_and_a_reason(story: Story) -> None:
    """Validity is 1 with reason "ok" or 0 with another reason, and what is exported has one."""
    for reading in story.readings:
        for labels, valid in reading.samples.get("kvwatch_estimate_valid", {}).items():
            reason = dict(labels)["reason"]
            assert reason
            assert valid == (1 if reason == "ok" else 0)
    judged = {dict(key)["estimate"] for key in story.last_before(story.heavy[1]).samples["kvwatch_estimate_valid"]}
    assert {"arrival_rate", "service_rate", "utilization", "stable_limit", "kv_capacity_tokens"} <= judged


def test_kvwatch_answers_throughout(story: Story) -> None:
    """The daemon's own ``/metrics`` never fails while vLLM is loaded, killed and started, and SIGTERM ends it well."""
    assert story.unanswered == 0
    assert story.exit_code == 0


def test_a_killed_server_is_down_and_its_estimates_withheld(story: Story) -> None:
    """Once the last scrape is stale, the target shows 0 and no estimate is left, until the server is back."""
    dead = story.between(story.killed + STALE_SECONDS + 2.0, story.back - 5.0)
    assert len(dead) > 10
    assert set(values(dead, "kvwatch_target_up")) == {0.0}
    assert {name for name in ESTIMATES if values(dead, name)} == set()


def test_a_restarted_server_is_watched_again(story: Story) -> None:
    """After the restart the target is up, and λ and ρ return when their window is full of the new server's numbers."""
    reading = story.readings[-1]
    assert reading.get("kvwatch_target_up") == 1
    assert set(values([reading], "kvwatch_kv_capacity_tokens")) == {float((SHARED.blocks - 1) * SHARED.block_tokens)}
    assert arrival_rate_error(story, (story.back, story.ended)) < 0.05
    low, high = reading.get("kvwatch_utilization", window="1m"), story.last_before(story.heavy[1])
    assert low is not None
    assert 0 < low < (high.get("kvwatch_utilization", window="1m") or 0)


def test_nothing_is_ever_negative(story: Story) -> None:
    """No rate, time or size goes below 0 in the whole story, although all counters fall to 0 in the middle."""
    negative = {name for name in NEVER_NEGATIVE if min(values(story.readings, name)) < 0}
    assert negative == set()


def test_a_recording_replays(story: Story) -> None:
    """What ``kvwatch record`` wrote during light load, ``kvwatch replay`` reads: the engine, its load and its M."""
    command = [str(KVWATCH), "replay", str(story.recording), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    scrapes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(scrapes) >= 10
    (engine,) = scrapes[-1]["engines"]
    assert (engine["model_name"], engine["engine"]) == (SHARED.name, "0")
    assert engine["target"] == Path(story.recording).name
    assert engine["kv_capacity_tokens"] == (SHARED.blocks - 1) * SHARED.block_tokens
    assert engine["running_requests"] >= 0
