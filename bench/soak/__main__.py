"""The daemon on a fleet at thirty times real time, with a fault every few seconds: the slope of its memory.

    python -m bench.soak --seconds 3600 --write

Engines are emulated thirty times as fast as real ones and scraped ten times a second; beside them is one that does the
faults of bench.cost in turn. Before the first fault there are minutes without any, in which windows fill and the
embedded engine is run: what is held then is what it must come back to. Memory is read once a second from outside; the
slope is that of the second half.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.cost.processes import get, memory_mb, open_files, process, ready, threads
from bench.cost.server import FAULTS
from bench.scale.__main__ import free_port
from bench.stamp import stamp

FILE = Path(__file__).parents[1] / "results" / "soak.json"
FAULT_SECONDS = 3.0
"""Length of a fault, and of the calm after it [s]."""
CALM_SECONDS = 75.0
"""Before the last look [s]: longer than the minute after which free memory is given back."""
SPEED = 30.0
ENGINES = ("chat", "overload")
"""Scenarios that are emulated, each by a process."""


@contextlib.contextmanager
def emulated(scenario: str, seed: int) -> Iterator[str]:
    """An engine in a process of its own; its URL."""
    command = [sys.executable, "-m", "kvwatch", "simulate", "--scenario", scenario, "--port", "0"]
    command += ["--seed", str(seed), "--speed", f"{SPEED:g}"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        yield started.stdout.readline().split()[-1]
    finally:
        started.kill()
        started.wait()


def calm(pid: int, seconds: float) -> float:
    """Memory of a process at the end of so many seconds without a fault [MB]: the median of its last quarter."""
    found = []
    for second in range(int(seconds)):
        time.sleep(1.0)
        if second >= 3 * seconds / 4:
            found.append(memory_mb(pid))
    return statistics.median(found)


def watched(pid: int, odd: str, seconds: float) -> list[float]:
    """Memory of a process, second by second [MB], while faults come and go."""
    found: list[float] = []
    began, number = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        fault = FAULTS[number // 2 % len(FAULTS)].replace(" ", "%20") if number % 2 else ""
        get(f"{odd}/fault/{fault}")
        number += 1
        until = time.monotonic() + FAULT_SECONDS
        while time.monotonic() < until:
            found.append(memory_mb(pid))
            time.sleep(1.0)
    get(f"{odd}/fault/")
    return found


def soak(seconds: float, warm: float) -> dict[str, Any]:
    """What a daemon holds before, during and after, once it has been warm for so many seconds."""
    listen = free_port()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = [stack.enter_context(emulated(name, seed)) for seed, name in enumerate(ENGINES)]
        _, port = stack.enter_context(process("-m", "bench.cost.server", listens=True))
        odd = f"http://127.0.0.1:{port}"
        targets = "".join(f"  - {{url: '{url}'}}\n" for url in [*urls, f"{odd}/odd"])
        path = Path(folder) / "kvwatch.yaml"
        path.write_text(
            f"server: {{listen: '127.0.0.1:{listen}'}}\nlog: {{level: error}}\n"
            f"scrape: {{interval: 100ms, timeout: 1s}}\n"
            f"estimates: {{state_file: {folder}/state.json}}\ntargets:\n{targets}"
        )
        one, _ = stack.enter_context(process("-m", "kvwatch", "run", "--config", str(path)))
        ready(f"http://127.0.0.1:{listen}/metrics")
        start = calm(one.pid, warm)
        before = (threads(one.pid), open_files(one.pid))
        memory = watched(one.pid, odd, seconds)
        after = calm(one.pid, CALM_SECONDS)
        page = get(f"http://127.0.0.1:{listen}/metrics").decode()
        half = memory[len(memory) // 2 :]
        times = [seconds / len(memory) * i for i in range(len(half))]
        return {
            "seconds": round(seconds),
            "speed": SPEED,
            "engines": list(ENGINES),
            "warm_seconds": round(warm),
            "start_mb": round(start),
            "middle_mb": round(statistics.median(memory[len(memory) // 2 - 10 : len(memory) // 2 + 10])),
            "end_mb": round(statistics.median(memory[-20:])),
            "peak_mb": round(max(memory)),
            "calm_mb": round(after),
            "calm_over_start": round(after / start, 3),
            "slope_mb_per_hour": round(3600 * statistics.linear_regression(times, half).slope, 1),
            "threads": [before[0], threads(one.pid)],
            "files": [before[1], open_files(one.pid)],
            "internal_errors": sum(
                float(line.rsplit(" ", 1)[1])
                for line in page.splitlines()
                if line.startswith("kvwatch_internal_errors_total{")
            ),
        }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (default 300)")
    parser.add_argument("--warm", type=float, default=300.0, help="seconds without a fault before it (default 300)")
    parser.add_argument("--write", action="store_true", help="put it into bench/results")
    args = parser.parse_args()
    found = {"made": stamp(), "machine": f"{platform.machine()}, Python {platform.python_version()}"}
    result = found | soak(args.seconds, args.warm)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    print(text)
    if args.write:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
