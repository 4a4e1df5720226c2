"""The rig itself, where it can be wrong without a server: the load's timing and dealing, and the ledger's counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.vllm.load import ABANDONED, ANSWERED, Ledger, PoissonLoad, Request, dealt_lengths, uniform_pool
from tests.vllm.model import SMALL
from tests.vllm.server import ServerSettings, VllmFailedError, VllmServer, group_members, kill_group


def test_lengths_are_dealt_evenly() -> None:
    """Each stretch of a pool's length asks for every member of the pool once, in another order each time."""
    pool = uniform_pool(10, 100, size=16, seed=3)
    assert all(10 <= length <= 100 for pair in pool for length in pair)
    lengths = dealt_lengths(pool, seed=5)
    first, second = list(islice(lengths, 16)), list(islice(lengths, 16))
    assert Counter(first) == Counter(second) == Counter(pool)
    assert first != second


def test_arrivals_are_poisson_at_the_phase_rates() -> None:
    """Phases follow each other without a gap, each at its rate, with the spread of a Poisson process."""
    load = PoissonLoad("", "", dealt_lengths([(1, 1)], 0), Ledger(), seed=7)
    *times, end = load._arrival_times(100.0, [(5.0, 200.0), (20.0, 100.0)])
    assert end == 400.0
    assert times == sorted(times)
    early, late = [t for t in times if t < 300.0], [t for t in times if t >= 300.0]
    # four standard deviations of a Poisson count
    assert abs(len(early) - 1000) < 4 * 1000**0.5
    assert abs(len(late) - 2000) < 4 * 2000**0.5
    counts = Counter(int(t) for t in late)
    mean = len(late) / 100
    variance = sum((counts[second] - mean) ** 2 for second in range(300, 400)) / 99
    assert 0.5 < variance / mean < 1.6


def test_the_ledger_counts_what_came_and_what_was_answered(tmp_path: Path) -> None:
    """Abandoned requests arrived but were not answered; windows are open at their start."""
    ledger = Ledger([Request(1, 4, 5, 6, ANSWERED), Request(2, 9, 5, 6, ABANDONED), Request(3, 0, 5, 6, 0)])
    assert ledger.arrivals(1, 3) == 2
    assert ledger.answered(0, 10) == 1
    assert [ledger.in_flight(at) for at in (0, 1, 3, 4, 9)] == [0, 1, 3, 2, 1]
    ledger.write(tmp_path / "requests.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [line["arrival"] for line in lines] == [1, 2]
    assert set(lines[0]) == {"arrival", "finish", "prompt_tokens", "completion_tokens", "status"}


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A process that ends at once is reported with the tail of its log, long before the time limit."""
    server = VllmServer(Path(sys.executable), ServerSettings(SMALL, "small", blocks=8, seats=1), tmp_path)
    with pytest.raises(VllmFailedError, match=r"ended with 1(?s:.*)No module named"):
        server.start()
    assert not server.healthy()


def test_killing_a_group_ends_its_children_too() -> None:
    """A process of the group that is no child of ours is found, and is gone after the kill."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    parent = f"import subprocess, time; subprocess.Popen({sleeper!r}); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(group_members(process.pid)) == 2
        kill_group(process)
        assert group_members(process.pid) == []
