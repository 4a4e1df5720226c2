"""One fault against the tests that reach it, in a process forked from one that has imported all but kvwatch."""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import pytest

from bench.mutation.mutants import Mutant
from bench.mutation.reach import INCLUDED, Reach, measured_lines
from bench.mutation.sample import ROOT

WARM = (
    "numpy", "scipy.optimize", "scipy.special", "scipy.stats", "river.drift", "msgspec", "orjson", "pytest",
    "hypothesis", "hypothesis.extra.numpy", "pytest_asyncio", "yaml", "aiohttp", "prometheus_client", "coverage",
)  # fmt: skip
"""What tests import that is not under test."""
_OPTIONS = (
    "-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=mutation",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
"""Stop at the first failure, leave nothing behind, draw the same examples each time; plugins are imported already."""
_CPU_RATIO, _LEAST_CPU_SECONDS = 3.0, 20.0
"""A fault may slow the tests down by so much before it counts as hung; of CPU, since the machine may be busy."""
LONGEST_TEST_SECONDS = 120.0
"""CPU that one test may take beyond the bound of its fault before it counts as hung: four times the longest."""
_WALL_RATIO = 20.0
"""What waits without using CPU is ended after so many times the CPU limit."""
_MEMORY_BYTES = 6 << 30
"""Address space of a process: a fault that fills the memory must not take others with it."""
_HARMLESS = {0, 4, 5}
"""pytest's exit codes for: all passed; a test that is no more; none selected."""
KILLED, HUNG, BROKEN, SURVIVED = "killed", "hung", "broken", "survived"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a fault: ``by`` is the test that failed, ``cut`` whether tests were left for want of time."""

    mutant: str
    outcome: str
    by: str | None
    cut: bool
    cpu_seconds: float

    @property
    def dead(self) -> bool:
        """Whether the tests found it."""
        return self.outcome != SURVIVED


def warm_up() -> None:
    """Import what all tests need. Raises RuntimeError if kvwatch came with it: then no fault would be seen."""
    for name in WARM:
        importlib.import_module(name)
    same_examples()
    if any(name.split(".")[0] == "kvwatch" for name in sys.modules):
        raise RuntimeError("kvwatch is imported already")


def same_examples() -> None:
    """Let hypothesis draw the same examples for each fault."""
    from hypothesis import settings  # noqa: PLC0415

    settings.register_profile("mutation", database=None, derandomize=True, deadline=None)


class _Faulty(SourceFileLoader):
    """Loads a module with the fault in it."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module with a fault in it."""

    def __init__(self, mutant: Mutant) -> None:
        path = ROOT / mutant.path
        parts = mutant.path.removesuffix(".py").removesuffix("/__init__").split("/")
        self._name, self._path = ".".join(parts), str(path)
        self._source = mutant.applied(path.read_bytes())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Faulty(fullname, self._path, self._source)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Watcher:
    """A pytest plugin that notes the first test that fails, and skips those that begin beyond a bound of CPU [s]."""

    def __init__(self, most_seconds: float) -> None:
        self.failed: str | None = None
        self.cut = False
        self._most_seconds = most_seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if time.process_time() > self._most_seconds:
            self.cut = True
            pytest.skip("no time is left for this fault")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def _run_tests(file: str, most_seconds: float = math.inf) -> tuple[int, _Watcher]:
    watcher = _Watcher(most_seconds)
    return int(pytest.main([*_OPTIONS, file], plugins=[watcher])), watcher


def try_mutant(mutant: Mutant | None, files: Sequence[str], most_seconds: float = math.inf) -> dict[str, Any]:
    """Run files one after another until one fails; to be called in a process of its own. ``None`` is no fault.

    Tests that would begin when ``most_seconds`` of CPU are gone are left out: then the fault is cut, and survives.
    """
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    for file in files:
        code, watcher = _run_tests(file, most_seconds)
        if code not in _HARMLESS:
            return {"outcome": KILLED if code == 1 else BROKEN, "by": watcher.failed, "cut": False}
        if watcher.cut or time.process_time() > most_seconds:
            return {"outcome": SURVIVED, "by": None, "cut": True}
    return {"outcome": SURVIVED, "by": None, "cut": False}


def measure(file: str) -> dict[str, Any]:
    """What a test file reaches, without a fault; to be called in a process of its own."""
    import coverage  # noqa: PLC0415

    watch = coverage.Coverage(data_file=None, include=INCLUDED, config_file=False)
    watch.start()
    code, watcher = _run_tests(file)
    watch.stop()
    if code not in _HARMLESS:
        return {"failed": watcher.failed or f"pytest ended with {code}"}
    return {"lines": {path: sorted(lines) for path, lines in measured_lines(watch.get_data()).items()}}


@dataclass(frozen=True, slots=True)
class Job:
    """Something to call in a process of its own, with the CPU time that it may take [s]."""

    name: str
    call: Callable[[], dict[str, Any]]
    cpu_seconds: float


def cpu_limit(reaches: Iterable[Reach], most_seconds: float = math.inf) -> float:
    """CPU time after which a fault counts as hung, from what its tests take without one, and its bound [s]."""
    usual = max(_CPU_RATIO * sum(r.cpu_seconds for r in reaches), _LEAST_CPU_SECONDS)
    return min(usual, most_seconds + LONGEST_TEST_SECONDS)


def run_all(jobs: Iterable[Job], processes: int) -> Iterator[tuple[Job, dict[str, Any], float]]:
    """Each job's answer with its CPU time [s], as they come; ``{"outcome": "hung"}`` for one that took too long."""
    waiting, running = list(jobs), dict[int, tuple[Job, int, float]]()
    # whoever ends this process ends those that it has forked
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop(0)
                pipe = _start(job)
                running[pipe[1]] = (job, pipe[0], time.monotonic() + _WALL_RATIO * job.cpu_seconds)
            ready, _, _ = select.select(list(running), [], [], 1.0)
            for reader in ready:
                job, pid, _ = running.pop(reader)
                yield job, *_answer(reader, pid)
            for _, pid, deadline in list(running.values()):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
    finally:
        for _, pid, _ in running.values():
            os.kill(pid, signal.SIGKILL)


def _start(job: Job) -> tuple[int, int]:
    """Fork; the child's answer comes through a pipe that it never closes before it is done."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    status = 1
    try:
        os.close(reader)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        limit = int(job.cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        answer = job.call()
        os.write(writer, json.dumps(answer).encode())
        status = 0
    finally:
        os._exit(status)


def _answer(reader: int, pid: int) -> tuple[dict[str, Any], float]:
    parts = []
    while part := os.read(reader, 1 << 16):
        parts.append(part)
    os.close(reader)
    _, _, usage = os.wait4(pid, 0)
    text = b"".join(parts)
    answer: dict[str, Any] = json.loads(text) if text else {"outcome": HUNG, "by": None, "cut": False}
    return answer, usage.ru_utime + usage.ru_stime
