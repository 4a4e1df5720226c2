"""One server's past: the same estimates as live, whatever stops the work in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kvwatch.facts import Scrape, ScrapeFailed, Settings
from kvwatch.promql.labels import labels_of
from kvwatch.shell.backtest.estimate import Job, estimate, part_path
from kvwatch.shell.backtest.parts import read_rows
from kvwatch.shell.backtest.side_by_side import estimate_all
from kvwatch.shell.backtest.sources import FromRecording, Past
from kvwatch.shell.recordings.replay import Recording, replay
from tests.shell.backtest.conftest import RAMP

MakeJob = Callable[..., Job]
RATE = labels_of(
    "kvwatch_service_rate",
    target="ramp11", model_name="tiny", engine="0", job="kvwatch", instance="ramp11", namespace="prod",
)  # fmt: skip


SETTINGS = Recording(RAMP, print).settings()


@dataclass
class Changed:
    """The recorded ramp with something done to its scrapes."""

    change: Callable[[Iterator[Past]], Iterator[Past]]
    interval_seconds: float = 1.0
    settings: Settings = SETTINGS

    def scrapes(self, cache: Path) -> Iterator[Past]:
        """Its scrapes."""
        return self.change(FromRecording(RAMP, 1.0).scrapes(cache))


class StoppedError(Exception):
    """What stops the work."""


@pytest.mark.long
def test_estimates_are_those_of_a_replay(job: MakeJob) -> None:
    """At the same scrape times, within 1%: replay runs the embedded engine more often, and nothing else differs."""
    estimate(job(every=1.0))
    stored = read_rows(part_path(job().folder, 0))[RATE]
    ours = dict(zip(stored.at.tolist(), stored.values.tolist(), strict=True))
    theirs = {view.at: view.targets[0].engines for view in replay(Recording(RAMP, print))}
    compared = [
        ours[at] / engines[0].service_rate.value - 1
        for at, engines in theirs.items()
        if engines and engines[0].service_rate.value and not np.isnan(ours.get(at, np.nan))
    ]
    assert len(compared) > 200
    assert max(map(abs, compared)) < 0.01


@pytest.mark.long
@pytest.mark.parametrize("scrapes", [1, 150, 345])
def test_work_that_was_stopped_ends_as_if_it_had_not_been(job: MakeJob, tmp_path: Path, scrapes: int) -> None:
    """Stopped after so many scrapes and begun again, the parts are the same to the bit."""

    def stopped(all_scrapes: Iterator[Past]) -> Iterator[Past]:
        for number, scrape in enumerate(all_scrapes):
            if number == scrapes:
                raise StoppedError
            yield scrape

    whole = estimate(job(folder=tmp_path / "whole"))
    with pytest.raises(StoppedError):
        estimate(job(Changed(stopped), tmp_path / "stopped"))
    assert estimate(job(folder=tmp_path / "stopped")) == whole
    assert part_path(tmp_path / "stopped", 0).read_bytes() == part_path(tmp_path / "whole", 0).read_bytes()


def test_what_is_done_is_not_done_again(job: MakeJob) -> None:
    """A server that was finished before a kill is not read again."""

    def never(_: Iterator[Past]) -> Iterator[Past]:
        raise StoppedError

    first = estimate(job())
    assert estimate(job(Changed(never))) == first


def test_a_gap_is_counted_and_leaves_nothing_behind(job: MakeJob) -> None:
    """Where nothing was scraped for a while there is no estimate, and the report says how long that was."""

    def gap(all_scrapes: Iterator[Past]) -> Iterator[Past]:
        for number, scrape in enumerate(all_scrapes):
            if not 200 <= number < 240:
                yield scrape

    coverage = estimate(job(Changed(gap), every=1.0))
    assert coverage.gap_count == 1
    assert coverage.gap_seconds == pytest.approx(41, abs=1.5)  # a scrape more than were left out, each of a second
    ((start, end),) = coverage.gaps
    stored = read_rows(part_path(job().folder, 0))[RATE]
    inside = stored.values[(stored.at > start) & (stored.at < end)]
    assert len(inside) >= 1
    assert np.isnan(inside).all()


def test_failed_scrapes_are_counted_and_withhold_the_estimates(job: MakeJob) -> None:
    """As live: after three intervals nothing is said any more about a server that does not answer."""

    def failing(all_scrapes: Iterator[Past]) -> Iterator[Past]:
        for number, scrape in enumerate(all_scrapes):
            yield ScrapeFailed(scrape.at, "down") if 200 <= number < 220 else scrape

    coverage = estimate(job(Changed(failing), every=1.0))
    assert coverage.failed == 20
    assert coverage.gap_count == 0
    stored = read_rows(part_path(job().folder, 0))[RATE]
    times = [scrape.at for scrape in Recording(RAMP, print).scrapes()]
    late = stored.values[(stored.at >= times[205]) & (stored.at <= times[219])]
    assert len(late)
    assert np.isnan(late).all()


@pytest.mark.long
def test_a_restart_is_counted(job: MakeJob) -> None:
    """Counters that begin again are another server, and the report says how often that was."""

    def restarted(all_scrapes: Iterator[Past]) -> Iterator[Past]:
        scrapes = [s for s in all_scrapes if isinstance(s, Scrape)]
        yield from scrapes
        later = scrapes[-1].at + 1 - scrapes[0].at
        yield from (Scrape(s.at + later, s.engines, s.process_start) for s in scrapes)

    assert estimate(job(Changed(restarted))).restarts == 1
    assert estimate(job(folder=job().folder.with_name("other"))).restarts == 0


@pytest.mark.long
def test_servers_are_estimated_alike_side_by_side(job: MakeJob, tmp_path: Path) -> None:
    """In processes of their own the same comes out, to the bit."""
    jobs = [job(folder=tmp_path / name) for name in ("a", "b")]
    found = [coverage for coverage in estimate_all(jobs, processes=2) if coverage is not None]
    assert len(found) == 2
    alone = estimate(job(folder=tmp_path / "alone"))
    assert found == [alone, alone]
    parts = [part_path(tmp_path / name, 0).read_bytes() for name in ("a", "b", "alone")]
    assert parts[0] == parts[1] == parts[2]


def test_what_a_server_raises_ends_all(job: MakeJob, tmp_path: Path) -> None:
    """A fault in one process is raised here, and no process is left behind."""
    missing = job(FromRecording(tmp_path / "nothing", 1.0), tmp_path / "out")
    with pytest.raises(Exception, match="holds neither"):
        list(estimate_all([missing], processes=1))
