"""A Prometheus that has really scraped a server: a recorded vLLM on a port, four times as fast as it was."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import orjson
import pytest

from kvwatch.parse.recording import recorded_text
from kvwatch.promql.labels import Labels
from kvwatch.shell.backtest.estimate import Job, estimate, part_path
from kvwatch.shell.backtest.parts import read_rows
from kvwatch.shell.backtest.sources import FromPrometheus, FromRecording, Source
from kvwatch.shell.prometheus import history
from kvwatch.shell.prometheus.api import Api, Server
from kvwatch.shell.recordings.lines import read_lines
from kvwatch.shell.recordings.replay import Recording, scrapes_path
from tests.prometheus_server import require_prometheus, scraping
from tests.shell.backtest.conftest import RAMP

pytestmark = pytest.mark.prometheus
require_prometheus()

SPEED = 4.0
"""Recorded seconds in one of the clock's. Of pages recorded each second a scrape each second sees one in four."""
FIRST_SECONDS = 125.0
"""Where it is played from: the server begins to be loaded again, up to more than it sustains."""
WINDOWS = {"15s": 15.0, "75s": 75.0}
"""λ's windows, as much faster."""
COMPARED = ("kvwatch_arrival_rate", "kvwatch_service_rate", "kvwatch_utilization", "kvwatch_queue_length")


_BUCKET = re.compile(rb'(_seconds_bucket\{.*le=")([\d.e+-]+)(")')
_SUM = re.compile(rb"(_seconds_sum(?:\{.*\})? )([\d.e+-]+)")


def faster(page: bytes) -> bytes:
    """A page of a server in which everything takes so much less time: the histograms of times are, too."""

    def shorter(found: re.Match[bytes]) -> bytes:
        return found[1] + repr(float(found[2]) / SPEED).encode() + b"".join(found.groups()[2:])

    return _SUM.sub(shorter, _BUCKET.sub(shorter, page))


@dataclass
class Played:
    """A recorded server on a port. It begins with the first request, and remembers what it answered, and when."""

    pages: list[tuple[float, bytes]]
    began: float | None = None
    answered: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it takes to its end [s]."""
        return (self.pages[-1][0] - self.pages[0][0]) / SPEED

    def page(self) -> bytes:
        """What it answers now."""
        now = time.time()
        self.began = self.began or now
        at = self.pages[0][0] + SPEED * (now - self.began)
        body = self.pages[max(bisect_right(self.pages, at, key=lambda page: page[0]) - 1, 0)][1]
        self.answered.append((now, body))
        return body


@contextmanager
def played() -> Iterator[tuple[str, Played]]:
    """Host and port of the recorded server."""
    found = (recorded_text(line) for _, line in read_lines(scrapes_path(RAMP), print))
    pages = [page for page in found if page is not None]
    course = Played([(at, faster(body)) for at, body in pages if at >= pages[0][0] + FIRST_SECONDS])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = course.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", course
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Played]]:
    """The address of a Prometheus that has scraped the server from its beginning to its end."""
    with played() as (server, course), scraping(tmp_path_factory.mktemp("prometheus"), server) as address:
        deadline = time.monotonic() + 60
        while course.began is None:
            assert time.monotonic() < deadline, "Prometheus has not begun to scrape"
            time.sleep(0.1)
        time.sleep(course.seconds)
        # what is asked for is over: later scrapes lie beyond it
        course.answered = list(course.answered)
        yield address, course


async def source(address: str, course: Played) -> Source:
    """The server as the Prometheus knows it."""
    start, end = course.answered[0][0] - 1.0, course.answered[0][0] + course.seconds
    server = Server(address, queries_per_second=1000.0)
    async with Api(server) as api:
        (found,) = await history.find_targets(api, (), start, end)
        interval = await history.scrape_interval(api, found, start, end)
    assert interval == pytest.approx(1.0, abs=0.05)
    return FromPrometheus(server, found, start, end, 1.0)


def recorded(folder: Path, course: Played) -> Source:
    """The same scrapes as a recording."""
    folder.mkdir()
    end = course.answered[0][0] + course.seconds
    lines = [{"t": at, "text": body.decode()} for at, body in course.answered if at <= end]
    (folder / "scrapes.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return FromRecording(folder, 1.0)


def estimates(source: Source, folder: Path, start: float) -> dict[Labels, tuple[np.ndarray, np.ndarray]]:
    """What is said of λ, μ, ρ and the queue at each scrape."""
    job = Job(
        "ramp", {}, source, Recording(RAMP, print).settings(), start, 0.5, frozenset(COMPARED), folder,
        {"windows_seconds": WINDOWS},
    )  # fmt: skip
    coverage = estimate(job)
    assert coverage.failed == 0
    return {labels: (stored.at, stored.values) for labels, stored in read_rows(part_path(folder, 0)).items()}


def test_estimates_from_what_a_prometheus_has_scraped_are_those_of_a_replay(
    scraped: tuple[str, Played], tmp_path: Path
) -> None:
    """Within 5% at each scrape, nearly all within 1%: a Prometheus stamps a scrape some milliseconds earlier."""
    address, course = scraped
    start = course.answered[0][0] - 1.0
    theirs = estimates(recorded(tmp_path / "played", course), tmp_path / "b", start)
    ours = estimates(asyncio.run(source(address, course)), tmp_path / "a", start)
    assert set(ours) == set(theirs)
    assert {dict(labels)["__name__"] for labels in ours} == set(COMPARED)
    apart = []
    for labels, (at, values) in theirs.items():
        other_at, other = ours[labels]
        nearest = np.abs(other_at[:, np.newaxis] - at).argmin(axis=0)
        assert np.abs(other_at[nearest] - at).max() < 0.3
        assert np.array_equal(np.isnan(other[nearest]), np.isnan(values)), labels
        known = ~np.isnan(values) & (values > 0)
        apart.append(np.abs(other[nearest][known] / values[known] - 1))
    found = np.concatenate(apart)
    assert len(found) > 100
    assert found.max() < 0.05
    assert np.quantile(found, 0.9) < 0.01


def test_a_run_that_is_killed_ends_as_if_it_had_not_been(scraped: tuple[str, Played], tmp_path: Path) -> None:
    """Kill -9 once scrapes have been read; the same command then has the same report, to the letter."""
    address, course = scraped
    begin = course.answered[0][0]
    base = [sys.executable, "-m", "kvwatch", "backtest", "--prometheus", address, "--queue-for", "5s",
            "--processes", "1", "--start", f"{begin - 260:.3f}", "--end", f"{begin + course.seconds:.3f}"]  # fmt: skip

    def command(name: str, *more: str) -> list[str]:
        return [*base, "--checkpoint", str(tmp_path / name), "--output", str(tmp_path / f"{name}.json"), *more]

    whole = subprocess.run(command("whole"), check=False, capture_output=True, text=True, timeout=300)
    assert whole.returncode == 0, whole.stderr
    slowly = command("killed", "--queries-per-second", "1")
    with subprocess.Popen(slowly, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as killed:
        deadline = time.monotonic() + 240
        while not list((tmp_path / "killed" / "servers").glob("*")):
            assert killed.poll() is None, killed.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert not (tmp_path / "killed.json").exists()
    again = subprocess.run(command("killed"), check=False, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "going on with the run" in again.stderr
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert json.loads((tmp_path / "whole.json").read_text())["servers"][0]["scrapes"] > 40
