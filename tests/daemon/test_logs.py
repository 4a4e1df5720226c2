"""The real process follows a log that is rotated in every way, and is killed: each line counts once."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.test_signals import PATIENCE_SECONDS, Process, kvwatch, token, vllm, write_config
from tests.shell.tail.conftest import Log

__all__ = ["token", "vllm"]
LINES_PER_WRITE = 7
PAUSE_SECONDS = 0.02


class Writer:
    """Writes to a log all the time, from a thread, and rotates it when asked."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._asked: list[Callable[[Log], None]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def rotate(self, how: Callable[[Log], None]) -> None:
        """Between two lines; back when it is done and the log has lines again."""
        self._asked.append(how)
        while self._asked:
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """Write no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            if self._asked:
                self._asked[0](self.log)
                self.log.write(LINES_PER_WRITE)
                self._asked.pop()
            self.log.write(LINES_PER_WRITE)


def counted(process: Process) -> float | None:
    """Requests that the log has brought, None while they are not told."""
    found = re.search(
        r'^kvwatch_requests_ingested_total\{[^}]*source="log"[^}]*\} (\S+)', process.get("/metrics"), re.MULTILINE
    )
    return float(found[1]) if found else None


def until(holds: Callable[[], bool]) -> None:
    """Wait; fails after a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.long
def test_three_rotations_and_a_kill_lose_no_line_and_count_none_twice(tmp_path: Path, vllm: str, token: Path) -> None:
    """Renamed, copied and truncated, deleted and written anew; killed between checkpoints and renamed meanwhile."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Log(folder / "access.log")
    log.write(0)
    config, state = tmp_path / "kvwatch.yaml", tmp_path / "state.json"
    logs = f"  logs: [{{path: '{log.path}', format: kvwatch}}]\nestimates: {{state_file: '{state}'}}\n"
    write_config(config, vllm, token, logs)
    with kvwatch(tmp_path, "--config", str(config)) as process:
        process.wait_for("log_opened")
        writer = Writer(log)
        try:
            for rotate in (Log.rename, Log.copy_and_truncate):
                before = counted(process) or 0.0
                until(lambda before=before: (counted(process) or 0.0) > before)  # type: ignore[misc]
                writer.rotate(rotate)
            until(state.exists)
            saved = counted(process) or 0.0
            until(lambda: (counted(process) or 0.0) > saved)
            assert process.end(signal.SIGKILL) == -signal.SIGKILL
            writer.rotate(Log.rename)
            with kvwatch(tmp_path, "--config", str(config)) as again:
                until(lambda: (counted(again) or 0.0) > saved)
                writer.rotate(Log.delete)
                writer.stop()
                until(lambda: counted(again) == log.written)
                time.sleep(1.5)  # two more looks: nothing comes twice
                assert counted(again) == log.written
                assert again.end(signal.SIGTERM) == 0
            with kvwatch(tmp_path, "--config", str(config)) as third:
                until(lambda: counted(third) is not None)
                assert counted(third) == log.written
        finally:
            writer.stop()
