"""A thousand embedded engines behind one HTTP server, cheap enough that it is not what is measured.

A few engines are run in virtual time, a second a frame, and their expositions kept. Each of the thousand shows the
frames of one of them, from a place of its own, one further each second. Nothing is rendered while it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import replace

from kvwatch.embedded.exposition import CONTENT_TYPE, render
from kvwatch.embedded.scenarios import SCENARIOS, Stage

LOADS = (0.3, 0.6, 0.85)


def frames(load: float, count: int, seed: int) -> list[bytes]:
    """Whole responses of an engine at a steady load, one for each second after its first minute."""
    scenario = replace(SCENARIOS["steady"], stages=(Stage("const", 1e6, load, load),))
    engine = scenario.engine(seed=seed)
    engine.advance(60.0)
    engine.take_ended()
    found = []
    for second in range(count):
        engine.advance(61.0 + second)
        engine.take_ended()
        body = render(engine, model_name=f"model-{load}").encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        found.append(head.encode() + body)
    return found


class Server(asyncio.Protocol):
    """Answers ``GET /<engine>/metrics``, and ``GET /gaps`` with the longest time between two scrapes of an engine."""

    pool: tuple[list[bytes], ...] = ()
    started = 0.0
    last: dict[int, float]
    longest: dict[int, float]
    served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        *requests, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for request in requests:
            self._transport.write(self._answer(request.split(b" ", 2)[1]))  # type: ignore[attr-defined]

    def _answer(self, path: bytes) -> bytes:
        parts = path.split(b"/")
        kind = type(self)
        if path == b"/gaps":
            gaps = sorted(kind.longest.values())
            body = json.dumps({"served": kind.served, "engines": len(kind.last), "longest": gaps[-20:]}).encode()
            kind.longest.clear()
            kind.last.clear()
            kind.served = 0
            return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body),
                body,
            )
        if len(parts) != 3 or parts[2] != b"metrics":
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        number, now = int(parts[1]), time.monotonic()
        if number in kind.last:
            kind.longest[number] = max(kind.longest.get(number, 0.0), now - kind.last[number])
        kind.last[number] = now
        kind.served += 1
        shown = kind.pool[number % len(kind.pool)]
        return shown[(number * 7 + int(now - kind.started)) % len(shown)]


async def main() -> None:
    """Serve until killed; the port is printed when it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=400)
    args = parser.parse_args()
    Server.pool = tuple(frames(load, args.frames, seed) for seed, load in enumerate(LOADS))
    Server.last, Server.longest, Server.started = {}, {}, time.monotonic()
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
