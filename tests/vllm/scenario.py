"""One life of a real vLLM under the eyes of the real kvwatch, told once and judged by many tests.

    start · measure what it can serve · light load · overload · kill -9 · start again · light load

Starting vLLM takes most of a minute, so the tests share this story and each checks one claim about what was seen.
Only vLLM, kvwatch and the load know each other's addresses; everything is on loopback and every wait is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.vllm.daemon import KVWATCH, Daemon, Reading, parse
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.server import VllmServer, free_port

POOL = uniform_pool(8, 64, size=64, seed=11)
"""Short, so that a minute holds hundreds of requests and a handful at its ends is no matter."""

LIGHT, HEAVY = 0.35, 1.5
"""Shares of the measured capacity that are offered."""

PROBE_RATE, PROBE_SECONDS, PROBE_RAMP_SECONDS = 40.0, 22.0, 6.0
"""A rate that no two cores can serve, for how long, and how much of that fills the seats first."""

PHASE_SECONDS = 72.0
"""The one-minute window lies within the phase, with room for start-up and a busy machine."""

RECORD_SECONDS = 8.0
INTERVAL_SECONDS = 1.0
WRONG_SEATS = 256
MISINFORMED, UNINFORMED = "misinformed", "uninformed"
"""Names of the same server as a target that is given other seats than it has, and as one that is given nothing."""
STALE_SECONDS = 3 * INTERVAL_SECONDS
RECOVERY_SECONDS = 100.0


@dataclass(slots=True)
class Story:
    """What was done, when (unix seconds), and everything that both servers said."""

    folder: Path
    capacity: float = 0.0
    """Requests/s that vLLM answered while far more were offered, before kvwatch started."""
    light: tuple[float, float] = (0.0, 0.0)
    heavy: tuple[float, float] = (0.0, 0.0)
    killed: float = 0.0
    back: float = 0.0
    ended: float = 0.0
    ledger: Ledger = field(default_factory=Ledger)
    readings: list[Reading] = field(default_factory=list)
    unseeing: list[Reading] = field(default_factory=list)
    """What a kvwatch said that may look at metrics alone, and was given wrong seats or nothing."""
    unanswered: int = 0
    """How often kvwatch's own ``/metrics`` gave no answer."""
    vllm: Reading | None = None
    """vLLM's own metrics, before kvwatch started."""
    exit_code: int | None = None

    @property
    def recording(self) -> Path:
        """Folder that ``kvwatch record`` wrote during the light load."""
        return self.folder / "recording"

    def between(self, start: float, end: float) -> list[Reading]:
        """What kvwatch said in [``start``, ``end``]."""
        return [reading for reading in self.readings if start <= reading.at <= end]

    def unseeing_before(self, end: float) -> Reading:
        """The last that the kvwatch said before ``end`` that sees metrics alone."""
        return [reading for reading in self.unseeing if reading.at <= end][-1]

    def last_before(self, end: float) -> Reading:
        """The last that kvwatch said at once before ``end``."""
        return [reading for reading in self.between(0.0, end) if reading.prompt][-1]


async def tell(server: VllmServer, folder: Path) -> Story:
    """Live through the whole story; leaves the server running and no other process behind, however it ends."""
    story = Story(folder)
    try:
        server.ensure_started()
        story.capacity = await _probe(server)
        story.vllm = parse(time.time(), time.time(), server.metrics())
        port = free_port()
        # nothing but the target: seats and budget are for kvwatch to find
        arguments = ["--target", server.url, "--interval", f"{INTERVAL_SECONDS:g}s"]
        daemon = Daemon(port, folder / "kvwatch.log", arguments)
        unseeing = Daemon(free_port(), folder / "unseeing.log", ["--config", str(_metrics_alone(folder, server))])
        try:
            async with _watching(story, daemon, story.readings), _watching(story, unseeing, story.unseeing):
                await _load_and_kill(story, server)
                await _restart(story, server)
            story.ended = time.time()
        finally:
            unseeing.stop()
            story.exit_code = daemon.stop()
    finally:
        story.ledger.write(folder / "requests.jsonl")
    return story


def _metrics_alone(folder: Path, server: VllmServer) -> Path:
    """A configuration that sees no process, with the server as a target that is given wrong seats, and as another."""
    path = folder / "metrics-alone.yaml"
    path.write_text(
        "scrape: {process_settings: false, pod_settings: false}\n"
        "targets:\n"
        f"  - {{name: {MISINFORMED}, url: {server.url}, max_num_seqs: {WRONG_SEATS}, max_num_batched_tokens: "
        f"{server.settings.budget_tokens}}}\n"
        f"  - {{name: {UNINFORMED}, url: {server.url}}}\n"
    )
    return path


async def _probe(server: VllmServer) -> float:
    ledger = Ledger()
    load = PoissonLoad(server.url, server.settings.name, dealt_lengths(POOL, seed=1), ledger, seed=1)
    start = time.time()
    await load.run((PROBE_RATE, PROBE_SECONDS))
    answered = ledger.answered(start + PROBE_RAMP_SECONDS, start + PROBE_SECONDS)
    await _until(lambda: _nothing_inside(server), seconds=20.0, what="vLLM drops what was abandoned")
    return answered / (PROBE_SECONDS - PROBE_RAMP_SECONDS)


async def _load_and_kill(story: Story, server: VllmServer) -> None:
    load = PoissonLoad(server.url, server.settings.name, dealt_lengths(POOL, seed=2), story.ledger, seed=2)
    start = time.time()
    story.light = (start, start + PHASE_SECONDS)
    story.heavy = (start + PHASE_SECONDS, start + 2 * PHASE_SECONDS)
    phases = [(share * story.capacity, PHASE_SECONDS) for share in (LIGHT, HEAVY)]
    # the load outlives the server by a little, as clients do
    sending = asyncio.create_task(load.run(*phases, (HEAVY * story.capacity, 4.0)))
    try:
        await asyncio.sleep(5.0)
        await asyncio.to_thread(_record, story, server)
        await asyncio.sleep(story.heavy[1] - time.time())
        story.killed = time.time()
        await asyncio.to_thread(server.kill)
        await sending
    finally:
        sending.cancel()
    await asyncio.sleep(story.killed + STALE_SECONDS + 5.0 - time.time())


def _record(story: Story, server: VllmServer) -> None:
    command = [str(KVWATCH), "record", "--target", server.url, "--output", str(story.recording)]
    command += ["--interval", "0.5s", "--duration", f"{RECORD_SECONDS:g}s"]
    subprocess.run(command, timeout=RECORD_SECONDS + 60, check=True, stdin=subprocess.DEVNULL, capture_output=True)


async def _restart(story: Story, server: VllmServer) -> None:
    await asyncio.to_thread(server.start)
    story.back = time.time()
    load = PoissonLoad(server.url, server.settings.name, dealt_lengths(POOL, seed=3), story.ledger, seed=3)
    sending = asyncio.create_task(load.run((LIGHT * story.capacity, RECOVERY_SECONDS)))
    try:
        # the one-minute window must fill anew; whether it did is for the tests to say
        with contextlib.suppress(TimeoutError):
            await _until(
                lambda: story.readings[-1].get("kvwatch_utilization", window="1m") is not None,
                seconds=RECOVERY_SECONDS,
                what="estimates return",
            )
        await asyncio.sleep(3.0)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@contextlib.asynccontextmanager
async def _watching(story: Story, daemon: Daemon, readings: list[Reading]) -> AsyncIterator[None]:
    """Ask kvwatch for its metrics twice a second while the body runs; raises what stopped that."""

    async def watch() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
            while True:
                asked = time.time()
                try:
                    async with session.get(f"{daemon.url}/metrics") as answer:
                        text = await answer.text()
                    readings.append(parse(asked, time.time(), text))
                except (aiohttp.ClientError, TimeoutError):
                    story.unanswered += bool(readings)  # until the first answer it is starting
                await asyncio.sleep(0.5)

    watcher = asyncio.create_task(watch())
    try:
        await _until(lambda: bool(readings) or daemon.exit_code() is not None, seconds=30.0, what="kvwatch answers")
        if daemon.exit_code() is not None:
            raise RuntimeError(f"kvwatch ended with {daemon.exit_code()}:\n{daemon.log.read_text()}")
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


def _nothing_inside(server: VllmServer) -> bool:
    reading = parse(time.time(), time.time(), server.metrics())
    return reading.get("vllm:num_requests_running") == 0 and reading.get("vllm:num_requests_waiting") == 0


async def _until(met: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still waiting: {what}")
        await asyncio.sleep(0.5)
