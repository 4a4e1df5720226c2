"""A closed loop of clients: each sends its next request when the last one is answered.

So many clients that requests always wait keep the server full without a queue that grows for ever, and the time that
a request takes, waiting included, is a number that settles.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from tests.vllm.model import FIRST_WORD, VOCABULARY


@dataclass(slots=True)
class Clients:
    """``count`` clients of one server; ``finished`` has (unix time of the answer, seconds it took) of each request."""

    url: str
    model: str
    lengths: Iterator[tuple[int, int]]
    count: int
    finished: list[tuple[float, float]] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Keep the server busy for so long, then drop what is unanswered."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as session:
            clients = [asyncio.create_task(self._client(session, number)) for number in range(self.count)]
            try:
                await asyncio.sleep(seconds)
            finally:
                for client in clients:
                    client.cancel()
                ends = await asyncio.gather(*clients, return_exceptions=True)
        faults = [end for end in ends if isinstance(end, Exception)]
        if faults:
            raise faults[0]

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        words = random.Random(number)
        while True:
            prompt, output = next(self.lengths)
            body = {
                "model": self.model,
                "prompt": [words.randrange(FIRST_WORD, VOCABULARY) for _ in range(prompt)],
                "max_tokens": output,
                "ignore_eos": True,
                "temperature": 0,
            }
            sent = time.time()
            async with session.post(f"{self.url}/v1/completions", json=body) as answer:
                answer.raise_for_status()
                await answer.read()
            self.finished.append((time.time(), time.time() - sent))
