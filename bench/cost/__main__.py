"""What kvwatch costs, beside references of the same run and machine: ratios hold on another machine, seconds do not.

python -m bench.cost --write
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench.cost import results
from bench.cost.processes import cpu_of, cpu_seconds, get, memory_mb, open_files, process, ready, threads
from bench.cost.server import FAULTS
from bench.scale.__main__ import free_port

FLEETS = (1, 10, 200)
"""Engines that are scraped once a second [engines]."""
REFERENCE_ROUNDS = 40
AGAIN = "made-up engines"
"""The fault that costs most comes once more: what it adds the second time is a leak."""
_IDLE = "import asyncio, aiohttp.web; from aiohttp import web; print(0, flush=True); asyncio.run(asyncio.sleep(60))"
"""What any service in Python with this HTTP library holds before it does anything."""


def reference_milliseconds(page: str) -> float:
    """CPU of prometheus-client's own parser for one page of an engine [ms], median of rounds."""
    took = []
    for _ in range(REFERENCE_ROUNDS):
        began = time.process_time()
        for _family in text_string_to_metric_families(page):
            pass
        took.append(1000 * (time.process_time() - began))
    return statistics.median(took)


def configuration(folder: Path, port: int, names: list[str], listen: int) -> Path:
    """A file for kvwatch: these engines of the server at ``port``."""
    targets = "".join(
        f"  - {{url: 'http://127.0.0.1:{port}/{name}', name: e-{name}, max_num_seqs: 256, "
        "max_num_batched_tokens: 2048}\n"
        for name in names
    )
    path = folder / "kvwatch.yaml"
    path.write_text(f"server: {{listen: '127.0.0.1:{listen}'}}\nlog: {{level: error}}\ntargets:\n{targets}")
    return path


def fleet(port: int, engines: int, warm: float, seconds: float) -> dict[str, Any]:
    """Kvwatch with so many engines: CPU of a scrape [ms] and memory [MB]."""
    listen = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = configuration(Path(folder), port, [str(n) for n in range(engines)], listen)
        with process("-m", "kvwatch", "run", "--config", str(path)) as (one, _):
            ready(f"http://127.0.0.1:{listen}/metrics")
            started = cpu_seconds(one.pid)
            time.sleep(warm)
            scrapes, used = scraped(listen), cpu_seconds(one.pid)
            time.sleep(seconds)
            done, spent = scraped(listen) - scrapes, cpu_seconds(one.pid) - used
            sys.stderr.write(f"{engines} engines: {done:.0f} scrapes, {spent:.2f} s of CPU\n")
            return {
                "engines": engines,
                "scrapes": round(done),
                "expected": round(engines * seconds),
                "ready_cpu_seconds": round(started, 2),
                "cpu_milliseconds": round(1000 * spent / max(done, 1), 2),
                "memory_mb": round(memory_mb(one.pid)),
            }


def scraped(listen: int) -> float:
    """Good scrapes so far."""
    page = get(f"http://127.0.0.1:{listen}/metrics").decode()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith("kvwatch_scrapes_total{") and 'result="success"' in line
    )


def after_faults(port: int, seconds: float, calm: float) -> list[dict[str, Any]]:
    """Memory, threads and files of kvwatch with two engines: before, and after each fault, with its peak."""
    listen = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = configuration(Path(folder), port, ["1", "odd"], listen)
        with process("-m", "kvwatch", "run", "--config", str(path)) as (one, _):
            ready(f"http://127.0.0.1:{listen}/metrics")
            time.sleep(calm)
            found = [state("before", one.pid)]
            for number, fault in enumerate([*FAULTS, AGAIN]):
                Path(f"/proc/{one.pid}/clear_refs").write_text("5")  # the peak begins again
                get(f"http://127.0.0.1:{port}/fault/{fault.replace(' ', '%20')}")
                time.sleep(seconds)
                get(f"http://127.0.0.1:{port}/fault")
                peak = memory_mb(one.pid, "VmHWM")
                time.sleep(calm)
                name = fault if number < len(FAULTS) else f"{fault}, again"
                found.append(state(name, one.pid) | {"peak_mb": round(peak)})
            return found


def state(name: str, pid: int) -> dict[str, Any]:
    """What a process holds now."""
    return {"after": name, "memory_mb": round(memory_mb(pid)), "threads": threads(pid), "files": open_files(pid)}


def commands(folder: Path) -> dict[str, float]:
    """CPU seconds of short commands, and of the import that any of them could not do without."""
    path = configuration(folder, 8000, ["1"], 9718)
    runs = {
        "import of aiohttp.web": ("-c", "import aiohttp.web"),
        "`kvwatch --help`": ("-m", "kvwatch", "--help"),
        "`kvwatch check-config`": ("-m", "kvwatch", "check-config", str(path)),
    }
    return {name: round(min(cpu_of(*run) for _ in range(3)), 2) for name, run in runs.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--warm", type=float, default=70.0, help="seconds before each measurement (default 70)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each (default 30)")
    parser.add_argument("--fault-seconds", type=float, default=20.0, help="length of each fault (default 20)")
    parser.add_argument("--calm", type=float, default=45.0, help="seconds after each fault (default 45)")
    parser.add_argument("--write", action="store_true", help="put it into bench/results")
    args = parser.parse_args()
    with process("-m", "bench.cost.server", listens=True) as (_, port):
        with process("-c", _IDLE, listens=True) as (idle, _):
            idle_mb = round(memory_mb(idle.pid))
        page = get(f"http://127.0.0.1:{port}/1/metrics").decode()
        measured: dict[str, Any] = {
            "warm_seconds": round(args.warm),
            "seconds": round(args.seconds),
            "idle_mb": idle_mb,
            "page_lines": page.count("\n"),
            "reference_milliseconds": round(reference_milliseconds(page), 2),
        }
        with tempfile.TemporaryDirectory() as folder:
            measured["commands"] = commands(Path(folder))
        measured["fleets"] = [fleet(port, engines, args.warm, args.seconds) for engines in FLEETS]
        measured["reference_milliseconds_after"] = round(reference_milliseconds(page), 2)
        measured["faults"] = after_faults(port, args.fault_seconds, args.calm)
    measured |= {"fault_seconds": round(args.fault_seconds), "calm_seconds": round(args.calm)}
    print(json.dumps(measured, indent=1))
    if args.write:
        results.put(measured)


if __name__ == "__main__":
    main()
