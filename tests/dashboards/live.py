"""A real Prometheus that scrapes kvwatch's demo, its engines, and one page on which every metric has a value."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import orjson
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from bench.collector import FleetCollector
from tests.export.full_view import fleet, full_engine

PATIENCE_SECONDS = 150.0
SPEED = 4
DEMO_ENGINES = 2


def free_port() -> int:
    """A TCP port of the loopback address that was free a moment ago."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read(url: str, **parameters: str | float) -> bytes:
    """What a loopback address answers; parameters go into the body."""
    data = urlencode(parameters).encode() if parameters else None
    with urlopen(url, data, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def wait_for(what: str, ask: Callable[[], Any], process: subprocess.Popen[bytes]) -> Any:
    """What ``ask`` returns once that is true; fails when the process ends or patience does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended while waiting for {what}"
        try:
            if found := ask():
                return found
        except URLError:
            pass
        time.sleep(0.25)
    raise AssertionError(f"no {what} within {PATIENCE_SECONDS:.0f} s")


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def full_page() -> Iterator[str]:
    """A server of the page of an engine of which everything is known; yields its address."""
    registry = CollectorRegistry()
    registry.register(FleetCollector(lambda: fleet(full_engine()), dict))
    page = generate_latest(registry)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Stored:
    """What the Prometheus at ``address`` has stored since ``start`` (unix seconds)."""

    def __init__(self, address: str, demo: str, page: str) -> None:
        self.address, self.demo, self.page, self.start = address, demo, page, time.time()

    def series(self, expression: str) -> list[dict[str, Any]]:
        """Series that an expression has had at any time; AssertionError where Prometheus refuses it."""
        answer = orjson.loads(
            read(
                f"http://{self.address}/api/v1/query_range",
                query=expression,
                start=self.start,
                end=time.time(),
                step=1,
            )
        )
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextmanager
def stored(folder: Path) -> Iterator[Stored]:
    """A Prometheus that has seen the demo's engine go from quiet into overload."""
    demo, prometheus = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = (sys.executable, "-m", "kvwatch", "demo", "--plain", "--speed", str(SPEED), "--listen", demo)
    with running(*command) as story, full_page() as page:

        def targets() -> list[str]:
            """The demo's engines, once each of them answers: the first to answer is not all of them."""
            page = read(f"http://{demo}/metrics").decode()
            shown = re.findall(r'^kvwatch_target_up\{target="([^"]+)"\} (\d)', page, re.MULTILINE)
            up = [target for target, value in shown if value == "1"]
            return up if len(up) == DEMO_ENGINES else []

        engines = wait_for("engines of the demo", targets, story)
        jobs = {"kvwatch": [demo, page], "vllm": engines}
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": j, "static_configs": [{"targets": t}]} for j, t in jobs.items()],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        flags = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
        listen = f"--web.listen-address={prometheus}"
        with running("prometheus", *(f"--{key}={value}" for key, value in flags.items()), listen) as server:
            found = Stored(prometheus, demo, page)
            wait_for("first scrape", lambda: found.series("up == 1"), server)
            wait_for("overload", lambda: found.series("kvwatch_observed_service_rate{model_name='ramp'}"), story)
            wait_for("gap of the model", lambda: found.series("kvwatch_model_gap_ratio{model_name='ramp'}"), story)
            yield found
