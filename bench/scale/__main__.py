"""Scrape a thousand engines each second with kvwatch, then with Prometheus, each on one core, and compare.

The scraper has core 0, the server of the engines core 1. Lateness is what the server saw: the longest time between two
scrapes of the same engine, less the interval. While kvwatch is measured, its own ``/metrics`` is read as Prometheus
does. Other work on the machine shows as core 0 being busy with it, and makes every figure larger.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.scale import results as scale
from bench.scale.parts import Parts, parts

TICKS = os.sysconf("SC_CLK_TCK")
SCRAPER_CORE, SERVER_CORE = 0, 1
_AGE = re.compile(r"^kvwatch_estimates_age_seconds\{.*\} (\S+)$", re.MULTILINE)


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
    others_ratio: float
    """Share of the scraper's core that other processes had."""

    def figures(self) -> dict[str, object]:
        """For the results on disk."""
        return {
            "scraper": self.name,
            "scrapes_per_second": round(self.scrapes / self.seconds),
            "cores": round(self.cpu_seconds / self.seconds, 2),
            "cpu_milliseconds": round(1000 * self.cpu_seconds / self.scrapes, 2),
            "peak_mb": round(self.peak_mb),
            "latest_seconds": round(max(self.longest_gap_seconds - 1, 0), 2),
            "late": self.late,
        }

    def row(self, expected: int) -> str:
        """A line of the table."""
        return (
            f"| {self.name} | {self.engines} | {self.scrapes / self.seconds:.0f} of {expected} | "
            f"{self.cpu_seconds / self.seconds:.2f} | {1000 * self.cpu_seconds / self.scrapes:.2f} ms | "
            f"{self.peak_mb:.0f} MB | {max(self.longest_gap_seconds - 1, 0):.2f} s | {self.late} | "
            f"{self.others_ratio:.0%} |"
        )


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass(frozen=True)
class Page:
    """kvwatch's own ``/metrics`` while it scrapes."""

    seconds: float
    megabytes: float
    series: int
    oldest_seconds: float
    engines: int

    def figures(self) -> dict[str, object]:
        """For the results on disk."""
        return {
            "page_seconds": round(self.seconds, 1),
            "page_engines": self.engines,
            "oldest_estimate_seconds": round(self.oldest_seconds),
        }

    def __str__(self) -> str:
        return (
            f"{self.series} series of {self.engines} engines, {self.megabytes:.1f} MB, came in {self.seconds:.2f} s; "
            f"the oldest estimates on it were {self.oldest_seconds:.0f} s old"
        )


def own_page(port: int) -> Page:
    """Read kvwatch's ``/metrics``, compressed, as Prometheus does."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as answer:
        body = answer.read()
    took = time.monotonic() - began
    text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()
    series = sum(not line.startswith("#") for line in text.splitlines())
    ages = [float(age) for age in _AGE.findall(text)]
    engines = text.count("\nkvwatch_running_requests{")
    return Page(took, len(text) / 1e6, series, max(ages, default=float("nan")), engines)


def free_port() -> int:
    """A port of the loopback address that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def busy_seconds(core: int) -> float:
    """User, nice, system, interrupt and stolen time of a core so far."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


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
def process(*command: str, core: int, **more: object) -> Iterator[subprocess.Popen[str]]:
    """A process on one core that is ended afterwards."""
    started = subprocess.Popen(["taskset", "-c", str(core), *command], text=True, **more)  # type: ignore[call-overload]
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
    began, used, busy = time.monotonic(), cpu_seconds(pid), busy_seconds(SCRAPER_CORE)
    time.sleep(seconds)
    took, used = time.monotonic() - began, cpu_seconds(pid) - used
    busy = busy_seconds(SCRAPER_CORE) - busy
    seen = gaps(port)
    longest: list[float] = seen["longest"]  # type: ignore[assignment]
    late = sum(gap > 2.0 for gap in longest)
    return Result(
        name,
        took,
        int(str(seen["served"])),
        int(str(seen["engines"])),
        used,
        peak_mb(pid),
        max(longest, default=0.0),
        late,
        max(0.0, busy - used) / took,
    )


def main() -> None:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", type=int, default=1000)
    parser.add_argument("--warm", type=float, default=90.0, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement")
    parser.add_argument("--only", choices=("kvwatch", "prometheus"))
    parser.add_argument("--write", metavar="RUN", help="put it into bench/results/scale.json as the run of this name")
    args = parser.parse_args()
    results: list[Result] = []
    page = share = None
    command: tuple[str, ...] = (sys.executable, "-m", "bench.scale.server")
    with (
        tempfile.TemporaryDirectory() as folder,
        process(*command, core=SERVER_CORE, stdout=subprocess.PIPE) as server,
    ):
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
            config, own_port = Path(folder, "kvwatch.yaml"), free_port()
            config.write_text(
                f"server: {{listen: '127.0.0.1:{own_port}'}}\nlog: {{level: error}}\n"
                f"discovery: {{files: [{{paths: ['{folder}/targets.json']}}]}}\n"
            )
            command = (sys.executable, "-m", "kvwatch", "run", "--config", str(config))
            with process(*command, core=SCRAPER_CORE) as one:
                results.append(measure("kvwatch", one.pid, port, args.warm, args.seconds))
                print(results[-1], flush=True)
                page = own_page(own_port)
                late = max(gaps(port)["longest"], default=0.0) - 1  # type: ignore[call-overload]
                print(page, f"latest while it came: {late:.2f} s", flush=True)
            share = parts(port)
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
            with process(*command, core=SCRAPER_CORE, env={**os.environ, "GOMAXPROCS": "1"}) as one:
                results.append(measure("Prometheus", one.pid, port, min(args.warm, 60.0), args.seconds))
                print(results[-1], flush=True)
    text = render(results, page, share, args.engines, args.warm)
    print(text)
    if args.write:
        rows = [result.figures() for result in results]
        if page is not None:
            rows[0] |= page.figures()
        asked = {"engines": args.engines, "warm_seconds": int(args.warm), "seconds": int(args.seconds)}
        scale.put(args.write, rows, share, asked)


def render(results: list[Result], page: Page | None, share: Parts | None, engines: int, warm: float) -> str:
    """The page of results."""
    own = [f"kvwatch's own `/metrics` meanwhile: {page}.", ""] if page is not None else []
    where = ["| part of kvwatch | CPU |", "|---|---|", *share.rows(), ""] if share is not None else []
    return "\n".join(
        [
            "# One process, a thousand engines",
            "",
            f"`python -m bench.scale`: {engines} embedded engines behind one HTTP server, scraped at 1 Hz by",
            f"one process on one core ({platform.machine()}, Python {platform.python_version()}), after {warm:.0f} s "
            "of warming up.",
            "Late is an engine that was not scraped for more than two seconds, as the server saw it (of the worst 20);",
            "the latest is what the longest gap has over a second. Others: what else used the scraper's core.",
            "",
            "| scraper | engines | scrapes/s | cores | CPU per scrape | peak memory | latest | late | others |",
            "|---|---|---|---|---|---|---|---|---|",
            *(result.row(engines) for result in results),
            "",
            *own,
            *where,
        ]
    )


if __name__ == "__main__":
    main()
