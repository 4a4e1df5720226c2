"""Scrape a thousand engines each second with kvwatch, then with Prometheus, each on one core, and compare.

What is counted is CPU time, which other work on the machine does not change much, and not wall time. Lateness is what
the server saw: the longest time between two scrapes of the same engine, less the interval.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "results" / "scale.md"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """What one scraper did in the measured time."""

    name: str
    seconds: float
    scrapes: int
    engines: int
    cpu_seconds: float
    peak_mb: float
    longest_gap_seconds: float
    late: int

    def row(self, expected: int) -> str:
        """A line of the table."""
        return (
            f"| {self.name} | {self.engines} | {self.scrapes / self.seconds:.0f} of {expected} | "
            f"{self.cpu_seconds / self.seconds:.2f} | {1000 * self.cpu_seconds / self.scrapes:.2f} ms | "
            f"{self.peak_mb:.0f} MB | {max(self.longest_gap_seconds - 1, 0):.2f} s | {self.late} |"
        )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def gaps(port: int) -> dict[str, object]:
    """What the server saw since it was last asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/gaps", timeout=30) as answer:
        found: dict[str, object] = json.load(answer)
        return found


@contextlib.contextmanager
def process(*command: str, core: int | None = None, **more: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended afterwards."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    started = subprocess.Popen([*pinned, *command], text=True, **more)  # type: ignore[call-overload]
    try:
        yield started
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)
        started.kill()


def measure(name: str, pid: int, port: int, warm: float, seconds: float) -> Result:
    """Let a scraper warm up, then count."""
    time.sleep(warm)
    gaps(port)
    began, used = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    took, used = time.monotonic() - began, cpu_seconds(pid) - used
    seen = gaps(port)
    longest: list[float] = seen["longest"]  # type: ignore[assignment]
    late = sum(gap > 2.0 for gap in longest)
    return Result(
        name,
        took,
        int(seen["served"]),
        int(seen["engines"]),
        used,
        peak_mb(pid),
        max(longest, default=0.0),
        late,  # type: ignore[call-overload]
    )


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, default=1000)
    parser.add_argument("--warm", type=float, default=90.0, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement")
    parser.add_argument("--only", choices=("kvwatch", "prometheus"))
    parser.add_argument("--write", action="store_true", help="write bench/results/scale.md")
    args = parser.parse_args()
    results = []
    server_command = (sys.executable, "-m", "bench.scale.server")
    with tempfile.TemporaryDirectory() as folder, process(*server_command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        targets = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {
                    "__metrics_path__": f"/{n}/metrics",
                    "instance": f"engine-{n}",
                    "max_num_seqs": "256",
                    "max_num_batched_tokens": "2048",
                },
            }
            for n in range(args.engines)
        ]
        Path(folder, "targets.json").write_text(json.dumps(targets))
        if args.only != "prometheus":
            config = Path(folder, "kvwatch.yaml")
            config.write_text(
                f"server: {{listen: '127.0.0.1:0'}}\nlog: {{level: warning}}\n"
                f"discovery: {{files: [{{paths: ['{folder}/targets.json']}}]}}\n"
            )
            with process(sys.executable, "-m", "kvwatch", "run", "--config", str(config), core=0) as one:
                results.append(measure("kvwatch", one.pid, port, args.warm, args.seconds))
                print(results[-1], flush=True)
        prometheus = shutil.which("prometheus")
        if prometheus is not None and args.only != "kvwatch":
            config = Path(folder, "prometheus.yml")
            config.write_text(
                "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n  - job_name: vllm\n"
                f"    file_sd_configs: [{{files: ['{folder}/targets.json']}}]\n"
            )
            command = (
                prometheus,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                "--web.listen-address=127.0.0.1:0",
                "--log.level=error",
            )
            with process(*command, core=0, env={**os.environ, "GOMAXPROCS": "1"}) as one:
                results.append(measure("Prometheus", one.pid, port, min(args.warm, 60.0), args.seconds))
                print(results[-1], flush=True)
    page = render(results, args.engines, args.warm)
    print(page)
    if args.write:
        RESULTS.write_text(page, encoding="utf-8")


def render(results: list[Result], engines: int, warm: float) -> str:
    """The page of results."""
    return "\n".join(
        [
            "# One process, a thousand engines",
            "",
            f"`python -m bench.scale --write`: {engines} embedded engines behind one HTTP server, scraped at 1 Hz by",
            f"one process on one core ({platform.machine()}, Python {platform.python_version()}), after {warm:.0f} s "
            "of warming up.",
            "Late is an engine that was not scraped for more than two seconds, as the server saw it (of the worst 20).",
            "",
            "| scraper | engines | scrapes/s | cores | CPU per scrape | peak memory | latest | late |",
            "|---|---|---|---|---|---|---|---|",
            *(result.row(engines) for result in results),
            "",
        ]
    )


if __name__ == "__main__":
    main()
