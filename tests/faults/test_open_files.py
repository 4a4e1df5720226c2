"""A process that has run out of file descriptors: it says so in a few lines, and goes on once there are some again."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from pathlib import Path

from tests.daemon.test_signals import PATIENCE_SECONDS, kvwatch

LIMIT = 48
"""File descriptors, of which the process itself uses some twenty."""


def test_clients_that_take_all_file_descriptors_fill_no_log_and_leave_no_mark(tmp_path: Path) -> None:
    """The accept loop waits between its attempts; a client that comes later is answered."""
    with kvwatch(tmp_path, "--target", "http://127.0.0.1:1") as process, contextlib.ExitStack() as clients:
        port = process.wait_for("started")["port"]
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        for _ in range(2 * LIMIT):
            clients.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", port))))
        process.wait_for("connection_dropped", reason="no_files")
        before = len(process.log())
        time.sleep(3.0)  # in which the loop of Python 3.11 would write thousands of lines
        assert len(process.log()) - before <= 20
        clients.close()
        deadline = time.monotonic() + PATIENCE_SECONDS
        page = ""
        while 'reason="no_files"' not in page and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                page = process.get("/metrics")
        assert 'kvwatch_http_connections_dropped_total{reason="no_files"} 0.0' not in page
        assert "loop_error" not in {line["event"] for line in process.log()}


def test_the_process_allows_itself_as_many_open_files_as_it_may(tmp_path: Path) -> None:
    """A thousand targets need more than the 1,024 that a process usually begins with."""
    with kvwatch(tmp_path, "--target", "http://127.0.0.1:1") as process:
        process.wait_for("started")
        soft, hard = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
