"""A process that is looked at from outside: its CPU time, its memory, what it has open."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Its memory now, or the most so far (``VmHWM``) [MB]."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def threads(pid: int) -> int:
    """Its threads."""
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def open_files(pid: int) -> int:
    """Its file descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@contextlib.contextmanager
def process(*arguments: str, listens: bool = False) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A Python process, and the port that it prints where it ``listens``; it is ended afterwards."""
    started = subprocess.Popen(
        [sys.executable, *arguments], text=True, stdout=subprocess.PIPE if listens else subprocess.DEVNULL
    )
    try:
        port = int(started.stdout.readline()) if started.stdout is not None else 0
        yield started, port
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(20)
        started.kill()
        started.wait()


def cpu_of(*arguments: str) -> float:
    """CPU seconds of a Python command from its start to its end."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def get(url: str) -> bytes:
    """A page."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def ready(url: str, seconds: float = 60.0) -> None:
    """Wait for a page. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            get(url)
            return
        time.sleep(0.05)
    raise TimeoutError(f"{url} does not answer")
