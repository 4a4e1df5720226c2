"""Real servers of several versions of vLLM, each under a light load and an overload, and what kvwatch makes of them.

    python -m bench.versions run 0.17.1=/venvs/0.17.1 0.32.0=/venvs/0.32.0     # three minutes each
    python -m bench.versions report

A server is started with seats, budget and blocks that kvwatch is not given: it has the log. The load finds what the
server can serve, then offers 0.4 of that, then 1.5. What kvwatch says at the end of the light load is held against what
was sent, what was set, and what the overload was served at. The environments need the CPU build of each version.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.stamp import stamp
from kvwatch.facts import Settings
from kvwatch.parse.logs import LocalTime, LogFormat, LogReader
from tests.vllm import server as rig
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.model import SMALL
from tests.vllm.server import START_SECONDS, ServerSettings, VllmFailedError, VllmServer

RESULTS = Path(__file__).parent / "results" / "versions.json"
SCRAPES = Path(__file__).parents[1] / "tests" / "data" / "scrapes"
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


def judged(folder: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """What kvwatch says of the recording at the end of the light load, with the log and no flag, beside the truth."""
    command = [sys.executable, "-m", "kvwatch", "replay", str(folder), "--server-log", "--format", "json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    at = [answer for answer in answers if answer.get("t", answer.get("at", 0.0)) <= truth["light"][1]][-1]
    (engine,) = at["engines"]
    valid = engine.get("valid") or engine.get("estimate_valid") or {}
    return {
        "arrival_rate": [engine.get("arrival_rate", {}).get("1m"), truth["arrival_rate"]],
        "kv_capacity_tokens": [engine.get("kv_capacity_tokens"), (SERVER.blocks - 1) * SERVER.block_tokens],
        "service_rate": [engine.get("service_rate"), truth["served"]],
        "binding_limit": engine.get("binding_limit"),
        "reasons": {name: one["reason"] for name, one in valid.items() if name in ("service_rate", "utilization")},
    }


def _run(version: str, venv: Path, keep: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        folder = keep / version if keep is not None else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        server = VllmServer(venv / "bin" / "python", SERVER, folder, variables=VARIABLES)
        try:
            server.start()
            truth = asyncio.run(story(server, folder))
        finally:
            server.kill()
        with gzip.open(folder / "server.log.gz", "wb") as packed:
            packed.write(server.log.read_bytes())
        (SCRAPES / f"{version}-real.prom").write_text(truth.pop("page"))
        (folder / "versions.json").write_text(json.dumps(truth))
        return judged(folder, truth) | {"settings": _settings(server.log)}


def _settings(log: Path) -> list[Any]:
    facts = LogReader(LogFormat("vllm")).read(log.read_bytes(), LocalTime(time.time())).facts
    found = [fact for fact in facts if isinstance(fact, Settings)]
    last = found[-1] if found else Settings()
    return [last.max_num_seqs, last.max_num_batched_tokens]


def main() -> None:
    """Run servers, or print what has come of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("servers", nargs="*", metavar="VERSION=VENV")
    parser.add_argument("--keep", type=Path, help="folder to keep the recordings in")
    parser.add_argument("--start-seconds", type=float, default=START_SECONDS, help="longest wait for a server")
    arguments = parser.parse_args()
    rig.START_SECONDS = arguments.start_seconds
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"versions": {}}
    for named in arguments.servers if arguments.what == "run" else ():
        version, _, venv = named.partition("=")
        try:
            results["versions"][version] = _run(version, Path(venv), arguments.keep)
        except VllmFailedError as error:
            results["versions"][version] = {"failed": str(error).splitlines()[0]}
        results["stamp"] = stamp()
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for version, found in results["versions"].items():
        print(version, json.dumps(found))


if __name__ == "__main__":
    main()
