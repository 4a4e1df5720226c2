"""Signals and faults while kvwatch starts, before the daemon runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.test_signals import PATIENCE_SECONDS, kvwatch


def slow_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the import of the daemon take time: a module that it needs sleeps, and then is the real one."""
    (tmp_path / "sitecustomize.py").write_text(f"""
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "kvwatch.daemon":
            sys.meta_path.remove(self)
            open({str(tmp_path / "importing")!r}, "w").close()
            time.sleep({seconds})
sys.meta_path.insert(0, Slow())
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def wait_for(path: Path) -> None:
    """Until a file is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_a_signal_while_it_starts_ends_it_with_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process of a container has no default for SIGTERM: whoever does not take it does not hear it."""
    slow_module(tmp_path, monkeypatch, 60.0)
    with kvwatch(tmp_path, "--target", "http://127.0.0.1:1") as process:
        wait_for(tmp_path / "importing")
        assert process.end(signal.SIGTERM) == 0


def test_it_ends_as_the_first_process_of_a_container_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which gets no signal that it has no handler for."""
    slow_module(tmp_path, monkeypatch, 60.0)
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m", "kvwatch", "run"]
    if subprocess.run([*command[:5], "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a namespace for processes")
    process = subprocess.Popen([*command, "--target", "http://127.0.0.1:1"])
    try:
        wait_for(tmp_path / "importing")
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def test_a_hangup_while_it_starts_does_not_end_it_and_is_done_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the configuration is read there is nothing to reload; the daemon starts as if nothing had been."""
    slow_module(tmp_path, monkeypatch, 1.0)
    with kvwatch(tmp_path, "--target", "http://127.0.0.1:1") as process:
        wait_for(tmp_path / "importing")
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("started")
        process.process.send_signal(signal.SIGHUP)
        process.wait_for("config_reloaded")
        assert process.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("content", "name", "field"),
    [(b"not a state", "state_rejected", "why"), (None, "state_unreadable", "error")],
    ids=["damaged", "unreadable"],
)
def test_what_is_wrong_with_the_state_file_is_logged_as_everything_else(
    tmp_path: Path, content: bytes | None, name: str, field: str
) -> None:
    """With time, path and reason, in the configured format: it is read after logging is set up."""
    state = tmp_path / "state.json"
    if content is None:
        state.mkdir()
    else:
        state.write_bytes(content)
    with kvwatch(tmp_path, "--target", "http://127.0.0.1:1", "--state-file", str(state)) as process:
        found = process.wait_for(name)
        assert found["path"] == str(state)
        assert found[field]
        assert found["time"]
        assert process.end(signal.SIGTERM) == 0


def test_a_state_that_cannot_be_saved_is_counted(tmp_path: Path) -> None:
    """The log says it once in a while; the counter is what an alert can look at."""
    folder = tmp_path / "folder"
    folder.write_text("a file where the state file's folder should be")
    logs = tmp_path / "requests.log"
    logs.touch()
    config = tmp_path / "kvwatch.yaml"
    document = {
        "estimates": {"state_file": str(folder / "state.json")},
        "targets": [{"url": "http://127.0.0.1:1", "logs": [{"path": str(logs), "format": "kvwatch"}]}],
    }
    config.write_text(json.dumps(document))
    with kvwatch(tmp_path, "--config", str(config)) as process:
        process.wait_for("state_not_saved")
        page = process.get("/metrics")
        assert 'kvwatch_state_saves_total{result="success"} 0.0' in page
        assert 'kvwatch_state_saves_total{result="failure"} 0.0' not in page
        assert "kvwatch_state_last_save_timestamp_seconds " not in page


def test_a_daemon_imports_no_more_than_it_uses() -> None:
    """scipy, the client of Kubernetes, gRPC and the tables of the terminal cost memory that a sidecar need not have."""
    script = "import sys, kvwatch.cli.run; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"scipy", "kubernetes_asyncio", "grpc", "rich", "pandas"} & set(done.stdout.split())


@pytest.mark.parametrize("command", ["--help", "--version", "run --help", "check-config kvwatch.example.yaml"])
def test_what_does_not_run_imports_no_part_of_the_daemon(command: str) -> None:
    """Help and checks come at once: neither numpy nor the HTTP library is needed for them."""
    script = f"""
import sys, contextlib
from kvwatch.__main__ import main
with contextlib.suppress(SystemExit):
    main({command.split()!r})
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "kvwatch.cli" in loaded
    assert not {"numpy", "aiohttp", "kvwatch.daemon", "kvwatch.core"} & set(loaded)


def test_a_process_that_was_stopped_and_goes_on_scrapes_again(tmp_path: Path) -> None:
    """SIGSTOP for longer than a scrape may take, then SIGCONT: no fault of kvwatch's own, and an end as usual."""
    engine = subprocess.Popen([sys.executable, "-m", "kvwatch", "simulate", "--port", "0"], stdout=subprocess.PIPE)
    try:
        assert engine.stdout is not None
        url = engine.stdout.readline().decode().split()[-1]
        with kvwatch(tmp_path, "--target", url, "--timeout", "1s", "--interval", "200ms") as process:
            process.wait_for("target_up")
            process.process.send_signal(signal.SIGSTOP)
            time.sleep(3.0)
            process.process.send_signal(signal.SIGCONT)
            before = _scrapes(process.get("/metrics"))
            deadline = time.monotonic() + PATIENCE_SECONDS
            while _scrapes(page := process.get("/metrics")) <= before + 3:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert 'kvwatch_internal_errors_total{place="task"} 0.0' in page
            assert 'kvwatch_internal_errors_total{place="loop"} 0.0' in page
            assert process.end(signal.SIGTERM) == 0
    finally:
        engine.kill()
        engine.communicate()


def _scrapes(page: str) -> float:
    """Good scrapes so far."""
    (line,) = [line for line in page.splitlines() if line.startswith('kvwatch_scrapes_total{result="success"')]
    return float(line.split()[-1])
