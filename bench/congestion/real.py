"""A real vLLM with its default seats and with the number that kvwatch recommends, in turns.

    python -m bench.congestion.real all                     # everything: 40 minutes on two idle cores
    python -m bench.congestion.real recommend fixed         # what kvwatch says after three minutes beside the server
    python -m bench.congestion.real measure fixed 256 65 …  # one run for each number of seats, in this order

Each run is a server of its own, kept full by a closed loop of clients. Results are appended to a file of JSON lines,
so that a bench can be made in parts; ``python -m bench.congestion report`` puts them together. A machine that does
anything else meanwhile makes steps longer, and the measured spell no longer holds several waves: such runs are void.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.congestion.load import Clients
from bench.recordings import sample
from kvwatch.export.catalog import BY_NAME
from kvwatch.export.metric import PREFIX
from kvwatch.export.series import number as number_of
from kvwatch.shell.recordings.replay import Recording, replay
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths
from tests.vllm.model import SMALL
from tests.vllm.server import ServerSettings, VllmServer, vllm_python

RESULTS = Path(__file__).parents[1] / "results" / "congestion-real.jsonl"
SEATS, BLOCKS, BLOCK_TOKENS, BUDGET = 256, 512, 32, 2048
TRAFFICS, PAIRS = ("fixed", "mixed"), 3
CLIENTS = 200
"""More than ever run at once, fewer than the default seats: the cap alone decides who waits."""
WARMUP_SECONDS, MEASURED_SECONDS = 35.0, 70.0
LIGHT_SECONDS, HEAVY_RATE, HEAVY_SECONDS = 120.0, 12.0, 60.0
LIGHT_RATE = {"fixed": 2.5, "mixed": 1.2}
"""Load at which nothing is evicted, so that steps of all kinds teach the step law."""


def pool(traffic: str) -> list[tuple[int, int]]:
    """(prompt, output) lengths that are dealt like cards."""
    if traffic == "fixed":
        return [(64, 192)] * 64
    draw = random.Random(11)
    return [(draw.randint(10, 160), draw.randint(10, 640)) for _ in range(64)]


def settings(seats: int) -> ServerSettings:
    """The server of every run, but for its seats."""
    return ServerSettings(SMALL, "small", BLOCKS, seats, BLOCK_TOKENS, BUDGET)


def measure(python: Path, folder: Path, traffic: str, seats: int, number: int) -> dict[str, Any]:
    """One run: throughput by generated tokens, evictions, steps and times of requests, after the warm-up."""
    server = VllmServer(python, settings(seats), folder)
    try:
        server.start()
        return asyncio.run(_full(server, traffic, seats, number))
    finally:
        server.stop()


async def _full(server: VllmServer, traffic: str, seats: int, number: int) -> dict[str, Any]:
    lengths = dealt_lengths(pool(traffic), seed=100 + number)
    clients = Clients(server.url, "small", lengths, CLIENTS)
    load = asyncio.create_task(clients.run(WARMUP_SECONDS + MEASURED_SECONDS + 5))
    running = []
    try:
        await asyncio.sleep(WARMUP_SECONDS)
        start, before = time.time(), await asyncio.to_thread(server.metrics)
        while time.time() < start + MEASURED_SECONDS:
            await asyncio.sleep(1.0)
            after = await asyncio.to_thread(server.metrics)
            running.append(sample(after, "num_requests_running"))
        end = time.time()
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    grown = {name: sample(after, name) - sample(before, name) for name in _COUNTERS}
    took = sorted(seconds for at, seconds in clients.finished if start < at <= end)
    output = sum(o for _, o in pool(traffic)) / len(pool(traffic))
    mean = sum(running) / len(running)
    return {
        "traffic": traffic,
        "seats": seats,
        "requests_per_second": grown["generation_tokens_total"] / (end - start) / output,
        "preemptions": grown["num_preemptions_total"],
        "finished": len(took),
        "p50_seconds": took[len(took) // 2],
        "p95_seconds": took[int(0.95 * len(took))],
        "step_seconds": (end - start) / grown["iteration_tokens_total_count"],
        "running": mean,
        "running_deviation": (sum((r - mean) ** 2 for r in running) / len(running)) ** 0.5,
        "seconds": end - start,
    }


_COUNTERS = ("generation_tokens_total", "num_preemptions_total", "iteration_tokens_total_count")


def recommend(python: Path, folder: Path, traffic: str) -> dict[str, Any]:
    """What kvwatch says of a server with the default seats: two minutes of light load, then more than it can serve."""
    recording = folder / "recording"
    recording.mkdir()
    (recording / "settings.json").write_text(
        json.dumps({"max_num_seqs": SEATS, "max_num_batched_tokens": BUDGET, "max_model_len": 2048})
    )
    server = VllmServer(python, settings(SEATS), folder)
    try:
        server.start()
        asyncio.run(_record(server, recording / "scrapes.jsonl", traffic))
    finally:
        server.stop()
    said: dict[str, Any] = {"traffic": traffic}
    for view in replay(Recording(recording, print)):
        for engine in view.targets[0].engines:
            for name in _SAID:
                value = number_of(BY_NAME[f"{PREFIX}{name}"], engine)
                if value is not None:
                    said[name] = value
            if engine.advice:
                said["advice"] = list(engine.advice)
    return said


_SAID = (
    "recommended_max_num_seqs",
    "recommended_gain_ratio",
    "recommended_gain_ratio_lower",
    "congestion_growth_ratio",
    "congestion_loss_ratio",
    "congestion_period_steps",
    "congestion_synchronisation_ratio",
    "preemptions_per_request",
    "service_rate",
)


async def _record(server: VllmServer, path: Path, traffic: str) -> None:
    load = PoissonLoad(server.url, "small", dealt_lengths(pool(traffic), seed=7), Ledger(), seed=7)
    sending = asyncio.create_task(load.run((LIGHT_RATE[traffic], LIGHT_SECONDS), (HEAVY_RATE, HEAVY_SECONDS)))
    with path.open("w") as file:
        while not sending.done():
            at = time.time()
            text = await asyncio.to_thread(server.metrics)
            file.write(json.dumps({"t": at, "text": text}) + "\n")
            await asyncio.wait([sending], timeout=max(at + 1.0 - time.time(), 0.0))
    await sending


def main(arguments: list[str]) -> None:
    """Run one part of the bench, or all of it, and append the results."""
    parser = argparse.ArgumentParser(description="The bench with a real vLLM, or one part of it.")
    parser.add_argument("part", choices=("all", "recommend", "measure"))
    parser.add_argument("traffic", choices=TRAFFICS, nargs="?", default=TRAFFICS[0])
    parser.add_argument("seats", type=int, nargs="*")
    args = parser.parse_args(arguments)
    python = vllm_python()
    if python is None:
        sys.exit("no vLLM: make setup-vllm")
    for result in _everything(python) if args.part == "all" else _part(args.part, python, args.traffic, args.seats):
        line = json.dumps({"at": round(time.time()), **result})
        print(line, flush=True)
        with RESULTS.open("a") as file:
            file.write(line + os.linesep)


def _everything(python: Path) -> Iterator[dict[str, Any]]:
    """What kvwatch says of both kinds of traffic, then three pairs of runs of each."""
    for traffic in TRAFFICS:
        (said,) = _part("recommend", python, traffic, [])
        yield said
        cap = said.get("recommended_max_num_seqs")
        if cap is not None:
            yield from _part("measure", python, traffic, [SEATS, int(cap)] * PAIRS)


def _part(part: str, python: Path, traffic: str, seats: list[int]) -> Iterator[dict[str, Any]]:
    if part == "recommend":
        with tempfile.TemporaryDirectory() as folder:
            yield {"part": part, **recommend(python, Path(folder), traffic)}
    for number, each in enumerate(seats):
        with tempfile.TemporaryDirectory() as folder:
            yield {"part": part, **measure(python, Path(folder), traffic, each, number // 2)}


if __name__ == "__main__":
    main(sys.argv[1:])
