"""Real servers of several versions of vLLM, each under a light load and an overload, and what kvwatch makes of them.

    python -m bench.versions run 0.17.1=/venvs/0.17.1 0.32.0=/venvs/0.32.0 --keep DIR     # three minutes each
    python -m bench.versions judge --keep DIR

A server is started with seats, budget and blocks that kvwatch is not given. The load finds what the server can serve,
then offers 0.4 of that, then 1.5. What kvwatch says at the end of the light load is held against what was sent, what
was set, and what the overload was served at: once with the server's log, once with its metrics alone. The environments
need the CPU build of each version.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.stamp import stamp
from tests.vllm import server as rig
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.model import SMALL
from tests.vllm.server import START_SECONDS, ServerSettings, VllmFailedError, VllmServer

RESULTS = Path(__file__).parent / "results" / "versions.json"
SCRAPES = Path(__file__).parents[1] / "tests" / "data" / "scrapes"
LOG, TRUTH = "server.log.gz", "versions.json"
"""Files of a recording: the server's log, and what was truly sent and served."""
SERVER = ServerSettings(SMALL, "small", blocks=256, seats=24, budget_tokens=256)
"""Seats and budget that no version has as its default, so that they are found and not guessed."""
VARIABLES = {"VLLM_CPU_OMP_THREADS_BIND": "0"}
"""Some versions around 0.20 do not start where no core is named."""
POOL = uniform_pool(8, 64, size=64, seed=11)
"""Short requests: a minute holds hundreds."""
PROBE_RATE = 40.0
"""More than two cores serve [requests/s]."""
PROBE_SECONDS, LIGHT_SECONDS, HEAVY_SECONDS = 25.0, 70.0, 45.0
FILL_SECONDS = 10.0
"""What an overload needs to fill the seats [s]."""
LIGHT, HEAVY = 0.4, 1.5
"""Shares of what the probe was served at [1]."""


async def story(server: VllmServer, folder: Path) -> dict[str, Any]:
    """The loads, recorded as ``kvwatch record`` does; returns what was truly sent and served."""
    ledger = Ledger()
    load = PoissonLoad(server.url, SERVER.name, dealt_lengths(POOL, seed=3), ledger, seed=3)
    scraping = asyncio.create_task(_scrape(server, folder / "scrapes.jsonl.gz"))
    try:
        begun = time.time()
        await load.run((PROBE_RATE, PROBE_SECONDS))
        capacity = ledger.answered(begun + FILL_SECONDS, begun + PROBE_SECONDS) / (PROBE_SECONDS - FILL_SECONDS)
        await asyncio.sleep(3.0)
        load.seed = 4
        light = time.time()
        await load.run((LIGHT * capacity, LIGHT_SECONDS))
        light_end = time.time()
        page = await asyncio.to_thread(server.metrics)
        load.seed = 5
        heavy = time.time()
        await load.run((HEAVY * capacity, HEAVY_SECONDS))
        heavy_end = time.time()
    finally:
        scraping.cancel()
        await asyncio.gather(scraping, return_exceptions=True)
    full = (heavy + FILL_SECONDS, heavy_end)
    return {
        "page": page,
        "light": [light, light_end],
        "arrival_rate": ledger.arrivals(light_end - 60, light_end) / 60,
        "served": ledger.answered(*full) / (full[1] - full[0]),
    }


async def _scrape(server: VllmServer, path: Path) -> None:
    with gzip.open(path, "wt") as file:
        while True:
            before = time.time()
            text = await asyncio.to_thread(server.metrics)
            file.write(json.dumps({"t": (before + time.time()) / 2, "text": text}) + "\n")
            file.flush()
            await asyncio.sleep(max(0.0, before + 1.0 - time.time()))


def judged(folder: Path) -> dict[str, Any]:
    """What kvwatch says of a recording at the end of the light load, without any flag, beside the truth."""
    truth = json.loads((folder / TRUTH).read_text())
    told, inferred = _answer(folder, truth["light"][1], "--server-log"), _answer(folder, truth["light"][1])
    return {
        "arrival_rate": [told["arrival_rate"].get("1m"), truth["arrival_rate"]],
        "kv_capacity_tokens": [told.get("kv_capacity_tokens"), (SERVER.blocks - 1) * SERVER.block_tokens],
        "service_rate": [told.get("service_rate"), truth["served"]],
        "service_rate_without_log": [inferred.get("service_rate"), truth["served"]],
        "binding_limit": told.get("binding_limit"),
        "reasons": {name: told["estimate_valid"][name]["reason"] for name in ("service_rate", "utilization")},
        "settings": {
            "true": [SERVER.seats, SERVER.budget_tokens],
            "log": _settings(told),
            "metrics": _settings(inferred),
        },
    }


def _answer(folder: Path, at: float, *options: str) -> dict[str, Any]:
    """The engine as ``kvwatch replay`` has it at a time [unix s]."""
    command = [sys.executable, "-m", "kvwatch", "replay", str(folder), *options, "--format", "json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answers = (json.loads(line) for line in lines)
    (engine,) = [answer for answer in answers if answer["t"] <= at][-1]["engines"]
    return dict(engine)


def _settings(engine: dict[str, Any]) -> list[Any]:
    """Seats and budget, each with who says it; ``None`` where nothing does."""
    found = engine.get("settings", {})
    return [found.get(name) for name in ("max_num_seqs", "max_num_batched_tokens")]


def _record(version: str, venv: Path, folder: Path) -> None:
    """Start the server, put it through the story, and leave in ``folder`` what was recorded and what is true."""
    folder.mkdir(parents=True, exist_ok=True)
    server = VllmServer(venv / "bin" / "python", SERVER, folder, variables=VARIABLES)
    try:
        server.start()
        truth = asyncio.run(story(server, folder))
    finally:
        server.kill()
    with gzip.open(folder / LOG, "wb") as packed:
        packed.write(server.log.read_bytes())
    (SCRAPES / f"{version}-real.prom").write_text(truth.pop("page"))
    (folder / TRUTH).write_text(json.dumps(truth))


def main() -> None:
    """Run servers, or judge what was recorded of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "judge"])
    parser.add_argument("servers", nargs="*", metavar="VERSION=VENV")
    parser.add_argument("--keep", type=Path, required=True, help="folder of the recordings, one by version")
    parser.add_argument("--start-seconds", type=float, default=START_SECONDS, help="longest wait for a server")
    arguments = parser.parse_args()
    rig.START_SECONDS = arguments.start_seconds
    results: dict[str, Any] = {}
    for named in arguments.servers if arguments.what == "run" else ():
        version, _, venv = named.partition("=")
        try:
            _record(version, Path(venv), arguments.keep / version)
        except VllmFailedError as error:
            results[version] = {"failed": str(error).splitlines()[0]}
    for folder in sorted(arguments.keep.iterdir()):
        if (folder / TRUTH).exists():
            results[folder.name] = judged(folder)
    for version, found in results.items():
        print(version, json.dumps(found))
    RESULTS.write_text(json.dumps({"versions": results, "stamp": stamp()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
