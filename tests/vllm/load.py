"""Open-loop load on a vLLM server: arrivals that wait for no answer, and a ledger of every one.

A closed loop slows down with the server and so hides its overload. Here arrivals are a Poisson process, and
``ledger`` knows when each request came and ended, which is what kvwatch's numbers are held against.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import aiohttp

from tests.vllm.model import FIRST_WORD, VOCABULARY

ANSWERED, FAILED, ABANDONED = 200, 0, -1
"""Values of ``status`` in a recording's ``requests.jsonl``; other values are HTTP's."""

MAX_REQUESTS = 5_000
"""No test needs more; a wrong rate ends here rather than in the machine's memory."""


@dataclass(slots=True)
class Request:
    """One line of a recording's ``requests.jsonl``: unix seconds and tokens. ``finish`` is 0 while it runs."""

    arrival: float
    finish: float
    prompt_tokens: int
    completion_tokens: int
    status: int


@dataclass(slots=True)
class Ledger:
    """All requests that were sent, in order of arrival."""

    requests: list[Request] = field(default_factory=list)

    def arrivals(self, start: float, end: float) -> int:
        """How many arrived in (``start``, ``end``], answered or not."""
        return sum(start < request.arrival <= end for request in self.requests)

    def answered(self, start: float, end: float) -> int:
        """How many were answered in (``start``, ``end``]."""
        return sum(start < request.finish <= end and request.status == ANSWERED for request in self.requests)

    def in_flight(self, at: float) -> int:
        """How many had arrived and not ended at ``at``."""
        return sum(r.arrival <= at and (r.finish == 0 or r.finish > at) for r in self.requests)

    def write(self, path: Path) -> None:
        """Write the requests that ended, in that order, as a recording keeps them."""
        ended = sorted((r for r in self.requests if r.finish), key=lambda r: r.finish)
        path.write_text("".join(json.dumps(asdict(request)) + "\n" for request in ended), encoding="utf-8")


def dealt_lengths(pool: Sequence[tuple[int, int]], seed: int) -> Iterator[tuple[int, int]]:
    """(prompt, output) token counts for ever, dealt from ``pool`` like cards and reshuffled when it runs out.

    Any ``len(pool)`` consecutive requests ask for nearly the same work, so that the offered load of a short phase
    is what its rate says.
    """
    deal = random.Random(seed)
    while True:
        yield from deal.sample(list(pool), len(pool))


def uniform_pool(low: int, high: int, size: int, seed: int) -> list[tuple[int, int]]:
    """``size`` pairs (prompt, output), each length uniform on ``low`` … ``high`` tokens, independent."""
    draw = random.Random(seed)
    return [(draw.randint(low, high), draw.randint(low, high)) for _ in range(size)]


@dataclass(slots=True)
class PoissonLoad:
    """Poisson arrivals at one server; every prompt begins with the same ``shared_tokens`` words."""

    url: str
    model: str
    lengths: Iterator[tuple[int, int]]
    ledger: Ledger
    seed: int = 0
    shared_tokens: int = 0

    async def run(self, *phases: tuple[float, float], drain_seconds: float = 0.0) -> None:
        """Offer each (rate in requests/s, seconds) in turn without a pause, then drop whatever is unanswered.

        With ``drain_seconds`` only what is unanswered after so long is dropped.

        Requests that are dropped, or that the server fails, stay in the ledger with their status.
        """
        clock = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as session:
            try:
                for due in self._arrival_times(clock.time(), phases):
                    await asyncio.sleep(max(0.0, due - clock.time()))
                    prompt, output = next(self.lengths)
                    tasks.add(asyncio.create_task(self._send(session, prompt, output)))
                    tasks.difference_update([task for task in tasks if task.done()])
                if drain_seconds and tasks:
                    await asyncio.wait(tasks, timeout=drain_seconds)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, count: int, at_a_time: int) -> None:
        """Send ``count`` requests, ``at_a_time`` of them at once, and wait for every answer."""
        gate = asyncio.Semaphore(at_a_time)
        timeout = aiohttp.ClientTimeout(total=600)

        async def one(session: aiohttp.ClientSession, prompt: int, output: int) -> None:
            async with gate:
                await self._send(session, prompt, output)

        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
            for prompt, output in islice(self.lengths, count):
                group.create_task(one(session, prompt, output))

    def _arrival_times(self, start: float, phases: Sequence[tuple[float, float]]) -> Iterator[float]:
        """Arrival times on the clock of ``start``; the last time is the end of the last phase."""
        draw = random.Random(self.seed)
        for rate, seconds in phases:
            due, end = start + draw.expovariate(rate), start + seconds
            while due < end and len(self.ledger.requests) < MAX_REQUESTS:
                yield due
                due += draw.expovariate(rate)
            start = end
        yield start

    async def _send(self, session: aiohttp.ClientSession, prompt: int, output: int) -> None:
        entry = Request(time.time(), 0.0, prompt, output, FAILED)
        self.ledger.requests.append(entry)
        words, shared = random.Random(len(self.ledger.requests)), random.Random(-1)
        first = [shared.randrange(FIRST_WORD, VOCABULARY) for _ in range(min(self.shared_tokens, prompt))]
        body = {
            "model": self.model,
            "prompt": first + [words.randrange(FIRST_WORD, VOCABULARY) for _ in range(prompt - len(first))],
            "max_tokens": output,
            "ignore_eos": True,
            "temperature": 0,
        }
        try:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(f"{self.url}/v1/completions", json=body) as answer:
                    entry.status = answer.status
                    if answer.status == ANSWERED:
                        entry.completion_tokens = (await answer.json())["usage"]["completion_tokens"]
        except asyncio.CancelledError:
            entry.status = ABANDONED
            raise
        finally:
            entry.finish = time.time()
