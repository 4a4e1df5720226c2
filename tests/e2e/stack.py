"""The parts as processes on free ports, and webhooks that keep what they are sent."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.e2e.engine import BUDGET, SEATS
from tests.e2e.shorten import duration, shorten

ROOT = Path(__file__).parents[2]
SPEED = 30.0
"""So that a scrape a second is one every 30 s of the rules, the middle of what they are made for."""
FRESH = 'model:kvwatch_utilization:ratio5m and on (model_name) timestamp(kvwatch_utilization{window="5m"}) > time() - 3'
"""ρ is known now, and from a scrape of these seconds.

A Prometheus that has just restarted scrapes nothing for 5 to 10 s, whatever its configuration. Meanwhile its rules go
on recording from samples that are older than the restart. An engine that goes away before the first scrape, nobody
marks as gone: its samples count for five minutes more, a time that is not divided.
"""
LEAST_RESEND_SECONDS = 5
"""How often Prometheus repeats an alert, at most; Alertmanager takes it for over after four times that.

It is not divided further: Prometheus finds its Alertmanagers 5 s after its start at the earliest, and a page must
outlive that.
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Webhook:
    """Receives Alertmanager's notifications, and keeps when each came [unix s]."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        self.times: list[float] = []
        received, times = self.notifications, self.times

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                times.append(time.time())
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """All alerts that were sent in this state."""
        return [a for n in self.notifications for a in n["alerts"] if a["status"] == status]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Part:
    """One process, which can be ended and begun again on the same port."""

    command: Sequence[str]
    ready: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Begin, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=ROOT)
        until(self.ready, self.log.name)

    def stop(self) -> None:
        """End it by its id."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def restart(part: Part) -> float:
    """Have a part gone for a scrape; how long it was, seconds, which a busy machine makes more."""
    began = time.monotonic()
    part.stop()
    time.sleep(1)
    part.start()
    return time.monotonic() - began


def need_prometheus() -> None:
    """Fail where Prometheus or Alertmanager is missing."""
    for needed in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(needed) is None:
            pytest.fail(f"{needed} must be on the PATH: make setup-prometheus")


def until(holds: Callable[[], bool], what: str, seconds: float = 300) -> None:
    """Wait for a condition; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def fetch(url: str) -> Any:
    """What a URL answers, JSON decoded where it is; None where it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            body = response.read()
    except OSError:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body


def _answers(url: str) -> bool:
    return fetch(url) is not None


@dataclass(frozen=True, slots=True)
class Watched:
    """A server that runs already, and the two limits that no metric shows."""

    url: str
    seats: int
    budget: int


@dataclass(frozen=True, slots=True)
class Played:
    """A recording, of which kvwatch's words are played, and until which of its seconds."""

    recording: Path
    seconds: float


class Stack:
    """kvwatch, Prometheus, Alertmanager and webhooks, all times divided by ``speed``; and an engine, but for a server.

    ``webhook`` is sent the pages, ``tickets`` the tickets, whatever the hour.

    ``watched`` is that server, or the course of the load of an engine of its own, or what is played in place of
    kvwatch.
    """

    def __init__(self, folder: Path, watched: str | Played | Watched, speed: float) -> None:
        self.webhook, self.tickets = Webhook(), Webhook()
        self.ports = {name: free_port() for name in ("engine", "kvwatch", "prometheus", "alertmanager")}
        self._write(folder, speed)
        url = {name: f"http://127.0.0.1:{port}" for name, port in self.ports.items()}
        python = (sys.executable, "-m")
        own = isinstance(watched, str)
        engine = (*python, "tests.e2e.engine", str(self.ports["engine"]), str(watched), str(speed))
        server = watched if isinstance(watched, Watched) else Watched(url["engine"], SEATS, BUDGET)
        watcher: tuple[str, ...] = (
            *python, "tests.e2e.watcher", str(self.ports["kvwatch"]), server.url, str(folder / "state.json"),
            str(speed), str(server.seats), str(server.budget),
        )  # fmt: skip
        if isinstance(watched, Played):
            watcher = (
                *python, "tests.e2e.playback", str(self.ports["kvwatch"]), str(watched.recording), str(speed),
                str(watched.seconds),
            )  # fmt: skip
        prometheus: tuple[str, ...] = (
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            f"--rules.alert.resend-delay={max(60 / speed, LEAST_RESEND_SECONDS):.0f}s",
        )  # fmt: skip
        alertmanager = (
            "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
        )  # fmt: skip
        paths = {"engine": "/metrics", "kvwatch": "/-/ready", "prometheus": "/-/ready", "alertmanager": "/-/ready"}
        commands: dict[str, tuple[str, ...]] = {
            "engine": engine,
            "kvwatch": watcher,
            "prometheus": prometheus,
            "alertmanager": alertmanager,
        }
        self.parts = {
            name: Part(command, partial(_answers, url[name] + paths[name]), folder / f"{name}.log")
            for name, command in commands.items()
            if own or name != "engine"
        }
        self._prometheus, self._alertmanager = url["prometheus"], url["alertmanager"]

    def _write(self, folder: Path, speed: float) -> None:
        rules = yaml.safe_load((ROOT / "alerts" / "kvwatch.rules.yaml").read_text())
        (folder / "rules.yaml").write_text(yaml.safe_dump(shorten(rules, speed)))
        scrape = [{"job_name": "kvwatch", "static_configs": [{"targets": [f"127.0.0.1:{self.ports['kvwatch']}"]}]}]
        manager = {"static_configs": [{"targets": [f"127.0.0.1:{self.ports['alertmanager']}"]}]}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "alerting": {"alertmanagers": [manager]},
            "scrape_configs": scrape,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        routes = yaml.safe_load((ROOT / "compose" / "alertmanager" / "alertmanager.yml").read_text())
        for route in (routes["route"], *routes["route"]["routes"]):
            for key in {"group_wait", "group_interval"} & route.keys():
                route[key] = duration(route[key], speed)
            route.pop("mute_time_intervals", None)
        hooks = {"page": self.webhook, "ticket": self.tickets}
        for receiver in routes["receivers"]:
            if hook := hooks.get(receiver["name"]):
                receiver["webhook_configs"] = [{"url": hook.url}]
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))

    def start(self) -> None:
        """Begin with all parts: who watches before the engine, whose course must not go unseen on a busy machine.

        But for kvwatch, which would say that its target is down.
        """
        for name in ("alertmanager", "prometheus", "engine", "kvwatch"):
            if name in self.parts:
                self.parts[name].start()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus says now; empty while it does not answer."""
        answer = fetch(f"{self._prometheus}/api/v1/query?query={quote(expression)}")
        return list(answer["data"]["result"]) if isinstance(answer, dict) else []

    def told(self) -> set[str]:
        """Names of the alerts that Alertmanager has now, silenced ones too."""
        answer = fetch(f"{self._alertmanager}/api/v2/alerts")
        return {alert["labels"]["alertname"] for alert in answer} if isinstance(answer, list) else set()

    def value(self, expression: str) -> float | None:
        """Its one value; None where there is none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def stop(self) -> None:
        """End all parts."""
        for part in self.parts.values():
            part.stop()
        self.webhook.close()
        self.tickets.close()


@contextmanager
def stack(folder: Path, watched: str | Played, speed: float = SPEED) -> Iterator[Stack]:
    """All parts with an engine of their own, or a recorded one."""
    need_prometheus()
    parts = Stack(folder, watched, speed)
    try:
        parts.start()
        yield parts
    finally:
        parts.stop()
