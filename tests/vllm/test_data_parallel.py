"""A real vLLM with two data-parallel engines: each is a queue of its own to kvwatch, and the model is both together."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vllm.daemon import Daemon, Reading, parse
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.model import TINY
from tests.vllm.server import ServerSettings, VllmServer, free_port, vllm_python

pytestmark = pytest.mark.vllm

SETTINGS = ServerSettings(TINY, "tiny", blocks=256, seats=16)
ENGINES = ("0", "1")
WINDOW_SECONDS = 20.0
RATE = 10.0
LOAD_SECONDS = 80.0
"""At most: it ends when kvwatch knows the window."""
INSIDE = ("vllm:num_requests_running", "vllm:num_requests_waiting")

CONFIG = """\
server: {{listen: "127.0.0.1:{port}"}}
estimates: {{windows: [20s, 1m]}}
targets: [{{url: "{vllm}", max_num_seqs: {seats}, max_num_batched_tokens: {budget}}}]
"""


@dataclass
class Story:
    """What was sent, and what both servers said at the end and a window before it."""

    ledger: Ledger
    before: Reading
    after: Reading
    kvwatch: Reading


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, told once; little more than a minute."""
    python = vllm_python()
    if python is None:
        pytest.skip("no real vLLM here: run `make setup-vllm`")
    return asyncio.run(tell(python, tmp_path_factory.mktemp("vllm")))


async def tell(python: Path, folder: Path) -> Story:
    """Start both, load vLLM for a window and a little more, and leave no process behind."""
    server = VllmServer(python, SETTINGS, folder, flags=["--data-parallel-size", "2"])
    port, config = free_port(), folder / "kvwatch.yaml"
    config.write_text(
        CONFIG.format(port=port, vllm=server.url, seats=SETTINGS.seats, budget=SETTINGS.budget_tokens),
        encoding="utf-8",
    )
    # Two engines spin on both cores even when idle: kvwatch starts first, while there is a core to start on.
    daemon = Daemon(port, folder / "kvwatch.log", ["--config", str(config)])
    try:
        await asyncio.to_thread(server.start)
        ledger = Ledger()
        load = PoissonLoad(server.url, SETTINGS.name, dealt_lengths(uniform_pool(8, 64, size=64, seed=5), 1), ledger, 1)
        sending = asyncio.create_task(load.run((RATE, LOAD_SECONDS)))
        try:
            snapshots: list[Reading] = []
            async with asyncio.timeout(LOAD_SECONDS):
                while True:
                    snapshots.append(await asyncio.to_thread(read, f"{server.url}/metrics"))
                    if snapshots[-1].at - snapshots[0].at >= WINDOW_SECONDS:
                        kvwatch = await asyncio.to_thread(read, f"{daemon.url}/metrics")
                        of_engines = [kvwatch.get("kvwatch_arrival_rate", engine=e, window="20s") for e in ENGINES]
                        if all(of_engines) and kvwatch.get("kvwatch_model_arrival_rate", model_name="tiny"):
                            break
                    await asyncio.sleep(0.5)
            after = snapshots[-1]
            before = min(snapshots, key=lambda reading: abs(after.at - WINDOW_SECONDS - reading.at))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    finally:
        daemon.stop()
        server.stop()
    return Story(ledger, before, after, kvwatch)


def read(url: str) -> Reading:
    """What a server's metrics are now."""
    asked = time.time()
    with urllib.request.urlopen(url, timeout=20) as answer:
        text = answer.read().decode()
    return parse(asked, time.time(), text)


def arrived(reading: Reading, engine: str) -> float:
    """Requests that have reached an engine, by vLLM's own count: those that ended and those inside."""
    ended = reading.samples.get("vllm:request_success_total", {})
    total = sum(value for labels, value in ended.items() if ("engine", engine) in labels)
    for name in INSIDE:
        inside = reading.get(name, engine=engine)
        assert inside is not None
        total += inside
    return total


def test_each_engine_has_the_memory_that_is_its_own(story: Story) -> None:
    """M is one engine's, less the null block, although vLLM shows the sum of both engines' blocks on each."""
    infos = [dict(labels) for labels in story.after.samples["vllm:cache_config_info"]]
    assert {info["engine"] for info in infos} == set(ENGINES)
    for info in infos:
        assert int(info["num_gpu_blocks"]) == len(ENGINES) * SETTINGS.blocks
        capacity = story.kvwatch.get("kvwatch_kv_capacity_tokens", engine=info["engine"])
        assert capacity == (SETTINGS.blocks - 1) * SETTINGS.block_tokens


def test_each_engine_has_the_arrivals_that_reached_it(story: Story) -> None:
    """λ is within a tenth of vLLM's own count of each engine.

    The two windows end up to a scrape interval apart: of a hundred requests that may be five at either end.
    """
    for engine in ENGINES:
        count = arrived(story.after, engine) - arrived(story.before, engine)
        assert count > 0.3 * RATE * WINDOW_SECONDS
        rate = story.kvwatch.get("kvwatch_arrival_rate", engine=engine, window="20s")
        assert rate == pytest.approx(count / (story.after.at - story.before.at), rel=0.1)


def test_the_model_is_both_engines_together(story: Story) -> None:
    """λ of the model is the engines' sum, and that is what was sent; there are two engines and one server.

    The model's is made every 3 s, with windows as short as these: by chance alone it is 4% off the engines' of now.
    """
    rates = [story.kvwatch.get("kvwatch_arrival_rate", engine=engine, window="20s") for engine in ENGINES]
    total = sum(rate for rate in rates if rate is not None)
    assert story.kvwatch.get("kvwatch_model_arrival_rate", model_name="tiny") == pytest.approx(total, rel=0.15)
    end = story.kvwatch.newest_scrape
    sent = story.ledger.arrivals(end - WINDOW_SECONDS, end)
    assert total * WINDOW_SECONDS == pytest.approx(sent, rel=0.1)
    assert story.kvwatch.get("kvwatch_model_engines", model_name="tiny", state="serving") == len(ENGINES)
    assert len(story.kvwatch.samples["kvwatch_target_up"]) == 1
