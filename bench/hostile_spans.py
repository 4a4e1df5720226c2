"""What a flood of spans does to the real daemon: a million a second are offered, each of a tenant of its own.

Run ``python -m bench.hostile_spans --seconds 60``. Prints what got through, the daemon's memory over time, and how
long its own ``/metrics`` took meanwhile. All on loopback: an embedded engine, the daemon, and this process.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.parse.otlp.exports import export, span
from tests.vllm.server import free_port

KVWATCH = Path(sys.executable).with_name("kvwatch")
SPANS = 4000
SENDERS = 8
LIMIT = 500
"""Spans/s that the daemon is set to take: a flood is what is two thousand times as much, or on a machine that is busy
with other things still some times as much."""
MARK = b"#MARK##!"
"""Eight bytes in every id and tenant, other ones for each export."""

HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
CONFIG = """\
server: {{listen: "127.0.0.1:{port}"}}
scrape: {{interval: 500ms}}
traces: {{enabled: true, tenant_attribute: enduser.id, max_spans_per_second: {limit}}}
targets: [{{url: "http://127.0.0.1:{engine}"}}]
"""


@dataclass
class Report:
    """What happened; ``resident`` holds (seconds, bytes) of the daemon's memory, ``answers`` how long /metrics took."""

    offered: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    resident: list[tuple[float, float]] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    spans: dict[str, float] = field(default_factory=dict)
    tenants: int = 0
    """Series of the share of memory by tenant."""
    up: float = 0.0
    faults: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


def template() -> bytes:
    """An export as large as is taken, with a mark to be replaced."""
    now = time.time_ns()
    times = {"start_time_unix_nano": now - 10**9, "end_time_unix_nano": now}
    spans = []
    for index in range(SPANS):
        tenant = f"{MARK.decode()}-{index}"
        made = span(index, {"enduser.id": tenant}, trace_id=MARK + index.to_bytes(8, "big"), **times)
        del made.attributes[:2]  # times that are not needed
        spans.append(made)
    return export(*spans).SerializeToString()


def flood(port: int, bodies: deque[bytes], stop: threading.Event, pace_seconds: float, report: Report) -> None:
    """Send exports, one each ``pace_seconds`` at most; one that was taken is not sent again, so that all are new."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    due = time.monotonic()
    while not stop.is_set():
        body = bodies.popleft()
        try:
            connection.request("POST", "/v1/traces", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        if status != http.client.OK:
            bodies.append(body)
        with report.lock:
            report.offered += SPANS
            report.statuses[status] += 1
        due = max(due + pace_seconds, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
    connection.close()


def run(seconds: float, folder: Path, spans_per_second: float = 1e6) -> Report:
    """Start an engine, the daemon and the flood; leaves no process behind."""
    port, engine = free_port(), free_port()
    config = folder / "kvwatch.yaml"
    config.write_text(CONFIG.format(port=port, engine=engine, limit=LIMIT))
    commands = (
        [KVWATCH, "simulate", "--scenario", "steady", "--port", str(engine)],
        [KVWATCH, "run", "--config", str(config)],
    )
    report, stop = Report(), threading.Event()
    whole = template()
    enough = int(seconds * LIMIT / SPANS) + 4 * SENDERS
    bodies = deque(gzip.compress(whole.replace(MARK, os.urandom(4).hex().encode()), 1) for _ in range(enough))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            processes += [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
        _wait_for(port)
        pace = SENDERS * SPANS / spans_per_second
        arguments = (port, bodies, stop, pace, report)
        threads = [threading.Thread(target=flood, args=arguments, daemon=True) for _ in range(SENDERS)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - started < seconds:
            _look(port, started, report)
            time.sleep(0.2)
        report.seconds = time.monotonic() - started
        stop.set()
        for thread in threads:
            thread.join(30)
        _look(port, started, report)
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
    return report


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if "kvwatch_scrapes_total" in _metrics(port):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("kvwatch does not answer")


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _look(port: int, started: float, report: Report) -> None:
    asked = time.monotonic()
    text = _metrics(port)
    report.answers.append(time.monotonic() - asked)
    report.tenants = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "process_resident_memory_bytes":
                report.resident.append((time.monotonic() - started, sample.value))
            elif sample.name == "kvwatch_spans_total":
                report.spans[sample.labels["result"]] = sample.value
            elif sample.name == "kvwatch_target_up":
                report.up = sample.value
            elif sample.name == "kvwatch_demand_share":
                report.tenants += 1
            elif sample.name == "kvwatch_internal_errors_total":
                report.faults = max(report.faults, sample.value)


def main() -> None:
    """Run it and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run(args.seconds, Path(folder))
    rate = report.offered / report.seconds
    middle = sorted(report.answers)[len(report.answers) // 2]
    every = max(1, len(report.resident) // 12)
    print(f"offered {rate:,.0f} spans/s for {report.seconds:.0f} s; answers {dict(report.statuses)}")
    print(f"taken {report.spans}; {report.tenants} series of tenants; up {report.up:.0f}, faults {report.faults:.0f}")
    print("memory", ", ".join(f"{at:.0f} s {size / 2**20:.0f} MiB" for at, size in report.resident[::every]))
    print(f"/metrics took {max(report.answers) * 1000:.0f} ms at most, {middle * 1000:.0f} ms in the median")


if __name__ == "__main__":
    main()
