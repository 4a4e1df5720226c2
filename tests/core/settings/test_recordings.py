"""Seats of real servers, found in recordings of their metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.facts import Settings, SettingSource
from tests.core.recordings import load, replay

TOLD = 256
"""Seats that are given, where the server has fewer."""
WITHIN_SECONDS = 120.0
QUEUES = {"seqcap": 12, "moe-chat": 48}
"""Recordings in which seats bind, and how many there are."""


@pytest.mark.parametrize(("name", "seats"), QUEUES.items())
@pytest.mark.parametrize("told", [TOLD, None])
def test_seats_that_bind_are_found_within_two_minutes_of_a_queue(name: str, seats: int, told: int | None) -> None:
    """Whether others were given or none; who gave them is contradicted."""
    recording = load(name)
    recording = replace(recording, settings=replace(recording.settings, max_num_seqs=told))
    begins = next(s.at for s in recording.scrapes if s.engines and s.engines[0].waiting)
    times = [s.at for s in recording.scrapes if begins <= s.at <= begins + WITHIN_SECONDS]
    views = replay(recording, times[-1:], full_engine=False)
    found = views[times[-1]].settings["max_num_seqs"]
    assert (found.value, found.source) == (seats, SettingSource.MEASURED)
    assert found.refuted == (((told, SettingSource.CONFIG),) if told else ())


@pytest.mark.parametrize("name", ["homog", "chat", "ramp11", "moe-decode"])
def test_where_memory_binds_no_seats_are_inferred(name: str) -> None:
    """In evictions, waves and ramps what was given stands at every moment, or what is assumed."""
    recording = load(name)
    assert recording.settings.max_num_seqs is not None
    times = [s.at for s in recording.scrapes][::10]
    for settings, source in ((recording.settings, SettingSource.CONFIG), (Settings(), SettingSource.DEFAULT)):
        views = replay(replace(recording, settings=settings), times, full_engine=False)
        shown = {(v.settings["max_num_seqs"].source, v.settings["max_num_seqs"].refuted) for v in views.values()}
        assert shown == {(source, ())}


def test_once_a_queue_has_shown_the_seats_the_rate_is_as_right_as_with_flags() -> None:
    """At a quarter, half and three quarters of the load after an overload, to a hundredth."""
    recording = load("seqcap")
    unsaid = replace(recording, settings=replace(recording.settings, max_num_seqs=None, max_num_batched_tokens=None))
    times = [recording.last_scrape(phase) for phase in recording.steady if phase.kind != "sat"]
    given, found = replay(recording, times), replay(unsaid, times)
    for at in times:
        assert found[at].settings["max_num_seqs"].value == 12
        assert found[at].service_rate.value == pytest.approx(given[at].service_rate.value, rel=0.01)
        assert found[at].binding_limit == given[at].binding_limit == {"seqs": 1.0}
        assert found[at].estimate_valid["service_rate"].valid
