"""Records a real vLLM under known load: saturated, then 0.25, 0.5 and 0.75 of that, then saturated again.

    python -m bench.record_real moe-decode --output tests/data/recordings/moe-decode     # nine minutes, a quiet machine
    python -m bench.record_real small-mixed --output DIR --loads 0.3 0.45 0.6 0.75 0.85 --seconds 600

The load is open-loop: Poisson arrivals that wait for no answer, with lengths dealt like cards from a pool of 64. The
first saturated phase measures the rate that the others are a share of. Anything else that runs on the machine meanwhile
makes steps longer, and the recording void.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.recordings import sample
from tests.vllm.load import Ledger, PoissonLoad, dealt_lengths
from tests.vllm.model import MOE, SMALL, Shape
from tests.vllm.server import ServerSettings, VllmServer, vllm_python

LOADS = (0.25, 0.5, 0.75)
SATURATED_SECONDS, LOADED_SECONDS, DRAIN_SECONDS = (90.0, 70.0), 100.0, 60.0
WARM_UP_SECONDS = 20.0
"""What a saturated phase needs to fill up."""
_PAUSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A server and its traffic: lengths in tokens, ``offered`` the rate that surely saturates it [requests/s]."""

    shape: Shape
    settings: ServerSettings
    pool: list[tuple[int, int]]
    offered: float
    shared_tokens: int = 0


def _decode_pool() -> list[tuple[int, int]]:
    draw = random.Random(5)
    return [(draw.randint(8, 32), draw.randint(96, 288)) for _ in range(64)]


def _chat_pool() -> list[tuple[int, int]]:
    draw = random.Random(6)
    return [
        (96 + min(round(draw.lognormvariate(4.6, 0.6)), 500), min(max(round(draw.lognormvariate(4.5, 0.6)), 16), 400))
        for _ in range(64)
    ]


SCENARIOS = {
    "moe-decode": Scenario(MOE, ServerSettings(MOE, "gw-prod-1", 512, 256, budget_tokens=512), _decode_pool(), 14.0),
    "moe-chat": Scenario(MOE, ServerSettings(MOE, "gw-prod-2", 512, 48, budget_tokens=1024), _chat_pool(), 16.0, 96),
    "small-mixed": Scenario(SMALL, ServerSettings(SMALL, "small", 512, 256, budget_tokens=512), _chat_pool(), 12.0),
}
"""The names of the mixtures of experts tell nothing, as an alias in production does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes between the saturated phases: shares of the rate that the first one measured, or rates [1/s]."""

    loads: tuple[float, ...] = LOADS
    rates: tuple[float, ...] = ()
    seconds: float = LOADED_SECONDS


async def record(server: VllmServer, scenario: Scenario, folder: Path, seed: int, plan: Plan) -> dict[str, Any]:
    """Drive all phases and write the recording; returns the truth."""
    ledger = Ledger()
    load = PoissonLoad(
        server.url,
        scenario.settings.name,
        dealt_lengths(scenario.pool, seed=seed),
        ledger,
        seed=seed,
        shared_tokens=scenario.shared_tokens,
    )
    scrapes: list[tuple[float, str]] = []
    scraping = asyncio.create_task(_scrape(server, folder / "scrapes.jsonl.gz", scrapes))
    phases: list[dict[str, Any]] = []
    try:
        await asyncio.sleep(_PAUSE_SECONDS)
        for step in (0.0, *(plan.rates or plan.loads), 0.0):
            full_rate = phases[0]["service_rate_by_tokens"] if phases else 1.0
            fraction = step / full_rate if plan.rates else step
            seconds = plan.seconds if fraction else SATURATED_SECONDS[bool(phases)]
            rate = fraction * full_rate if fraction else scenario.offered
            load.seed += 1
            phase: dict[str, Any] = {"kind": "const" if fraction else "sat", "frac": fraction, "start": time.time()}
            sending = asyncio.create_task(load.run((rate, seconds), drain_seconds=DRAIN_SECONDS if fraction else 0.0))
            await asyncio.sleep(seconds)
            # the load ends on time; this task may be woken late, when its clients have already left
            phase["end"] = phase["start"] + seconds
            phase["offered"] = ledger.arrivals(phase["start"], phase["end"]) / (phase["end"] - phase["start"])
            await sending
            if not fraction:
                phase["service_rate_by_tokens"] = _service_rate(scrapes, phase, scenario)
            phases.append(phase)
            print(json.dumps(phase), flush=True)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        scraping.cancel()
        await asyncio.gather(scraping, return_exceptions=True)
    ledger.write(folder / "requests.jsonl")
    rates = [p["service_rate_by_tokens"] for p in phases if p["kind"] == "sat"]
    settings = scenario.settings
    return {
        "scenario": folder.name,
        "pool": [[s, o, scenario.shared_tokens] for s, o in scenario.pool],
        "args": f"--block-size {settings.block_tokens} --num-gpu-blocks-override {settings.blocks} --max-num-seqs"
        f" {settings.seats} --max-num-batched-tokens {settings.budget_tokens}"
        f" --{'' if scenario.shared_tokens else 'no-'}enable-prefix-caching",
        "phases": phases,
        "mu_true": sum(rates) / len(rates),
        "block_size": settings.block_tokens,
        "kv_capacity_tokens": (settings.blocks - 1) * settings.block_tokens,
    }


async def _scrape(server: VllmServer, path: Path, scrapes: list[tuple[float, str]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        due = time.time()
        while True:
            due += 1.0
            await asyncio.sleep(max(due - time.time(), 0.0))
            at = time.time()
            text = await asyncio.to_thread(server.metrics)
            scrapes.append((at, text))
            file.write(json.dumps({"t": at, "text": text}) + "\n")


def _service_rate(scrapes: list[tuple[float, str]], phase: dict[str, Any], scenario: Scenario) -> float:
    """Generated tokens over the mean output length and time, once the engine is full [requests/s]."""
    within = [s for s in scrapes if phase["start"] + WARM_UP_SECONDS <= s[0] <= phase["end"] - 1]
    (start, before), (end, after) = within[0], within[-1]
    generated = sample(after, "generation_tokens_total") - sample(before, "generation_tokens_total")
    return generated / (end - start) / (sum(o for _, o in scenario.pool) / len(scenario.pool))


def main(arguments: list[str]) -> None:
    """Make one recording."""
    parser = argparse.ArgumentParser(description="Records a real vLLM under known load.")
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--loads", type=float, nargs="+", default=LOADS, help="shares of the saturated rate")
    parser.add_argument("--rates", type=float, nargs="+", default=(), help="rates in their place [requests/s]")
    parser.add_argument("--seconds", type=float, default=LOADED_SECONDS, help="length of each of these phases")
    args = parser.parse_args(arguments)
    python = vllm_python()
    if python is None:
        sys.exit("no vLLM: make setup-vllm")
    scenario: Scenario = SCENARIOS[args.scenario]
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        server = VllmServer(
            python,
            scenario.settings,
            Path(work),
            flags=("--enable-prefix-caching",) if scenario.shared_tokens else (),
        )
        try:
            server.start()
            plan = Plan(tuple(args.loads), tuple(args.rates), args.seconds)
            truth = asyncio.run(record(server, scenario, args.output, args.seed, plan))
        finally:
            server.stop()
    settings = scenario.settings
    known = {
        "max_num_seqs": settings.seats,
        "max_num_batched_tokens": settings.budget_tokens,
        "max_model_len": settings.model_tokens,
    }
    (args.output / "settings.json").write_text(json.dumps(known))
    (args.output / "truth.json").write_text(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
