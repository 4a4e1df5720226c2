"""The real process: it ends when told to, reloads when told to, and tells no secret."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.shell.conftest import expositions

PATIENCE_SECONDS = 60.0


class Vllm(BaseHTTPRequestHandler):
    """Answers only who shows the token."""

    def do_GET(self) -> None:
        """The exposition, or 401."""
        allowed = self.headers.get("Authorization") == "Bearer hunter2"
        body = expositions()[0].encode() if allowed and self.path == "/metrics" else b""
        self.send_response(200 if body else 404 if allowed else 401)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def vllm() -> Iterator[str]:
    """The address of a server that wants a token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vllm)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Process:
    """``kvwatch run`` as a process, with its log in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def log(self) -> list[dict[str, object]]:
        """The events logged so far."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, name: str, **fields: object) -> dict[str, object]:
        """The first event of this name with these fields.

        On a machine that is busy with other things a scrape may time out, so that a target is also down meanwhile.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for found in self.log():
                if found["event"] == name and fields.items() <= found.items():
                    return found
            time.sleep(0.02)
        raise AssertionError(f"no {name} with {fields} in {self._log.read_text()}")

    def get(self, path: str) -> str:
        """A page of the process."""
        port = self.wait_for("started")["port"]
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_SECONDS) as response:
            return response.read().decode()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def kvwatch(tmp_path: Path, *arguments: str) -> Iterator[Process]:
    """Start the command and make sure that it is gone afterwards."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "kvwatch", "run", "--listen", "127.0.0.1:0", "--log-format", "json", *arguments]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield Process(process, log)
    finally:
        process.kill()
        process.wait()


def write_config(path: Path, vllm: str, token: Path, extra: str = "") -> None:
    """A configuration with a token."""
    text = f"scrape: {{interval: 100ms}}\ntargets:\n- url: {vllm}\n  bearer_token_file: {token}\n{extra}"
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A file that holds the token."""
    path = tmp_path / "token"
    path.write_text("hunter2\n")
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_a_target_hangs(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0 and "stopped" as the last word; a scrape under way is given up."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vllm)  # accepts in its backlog, and never answers
    with kvwatch(tmp_path, "--target", f"http://127.0.0.1:{server.server_port}", "--timeout", "60s") as process:
        process.wait_for("started")
        assert process.end(number) == 0
        assert process.log()[-1]["event"] == "stopped"
    server.server_close()


def test_hangup_reloads_the_file(tmp_path: Path, vllm: str, token: Path) -> None:
    """A good file is followed; a bad one is refused with its exact messages, and the good one stays in force."""
    path = tmp_path / "kvwatch.yaml"
    write_config(path, vllm, token)
    with kvwatch(tmp_path, "--config", str(path)) as process:
        process.wait_for("target_up")
        write_config(path, vllm, token, "- url: http://127.0.0.1:1\n  name: second\n")
        process.process.send_signal(signal.SIGHUP)
        assert process.wait_for("config_reloaded")["targets"] == 2
        process.wait_for("target_down", target="second")
        write_config(path, vllm, token, "- url: localhost\n")
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("config_reload_failed")
        assert process.wait_for("config_fault")["fault"] == (
            'targets[1].url: "localhost" has no scheme; write http://localhost or https://localhost'
        )
        assert "kvwatch_config_last_reload_successful 0.0" in process.get("/metrics")
        assert len(json.loads(process.get("/api/v1/engines"))["targets"]) == 2
        assert process.end(signal.SIGTERM) == 0


def test_the_token_appears_nowhere(tmp_path: Path, vllm: str, token: Path) -> None:
    """Not in the log at its most talkative, not on any page, not in the process' arguments."""
    path = tmp_path / "kvwatch.yaml"
    write_config(path, vllm, token)
    with kvwatch(tmp_path, "--config", str(path), "--log-level", "debug") as process:
        process.wait_for("target_up")
        wrong = tmp_path / "wrong"
        wrong.write_text("hunter2wrong")
        wrong.replace(token)  # written in place, it would be empty for a moment, which is another reason
        process.wait_for("target_down", reason="unauthorized")
        token.unlink()
        process.wait_for("target_down", reason="credentials")
        pages = "".join(process.get(page) for page in ("/metrics", "/api/v1/engines", "/"))
        arguments = Path(f"/proc/{process.process.pid}/cmdline")
        shown = arguments.read_text() if arguments.exists() else ""
        assert process.end(signal.SIGTERM) == 0
        assert "hunter2" not in pages + shown + (tmp_path / "log").read_text()


def test_a_closed_pipe_ends_a_replay_quietly() -> None:
    """``kvwatch replay … | head -1`` gives one line and no traceback."""
    folder = Path(__file__).parents[1] / "data" / "recordings" / "seqcap"
    command = [sys.executable, "-m", "kvwatch", "replay", str(folder), "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["engines"]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_SECONDS) == 0
