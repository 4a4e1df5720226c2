"""Engines that answer well, and one that does what it is asked for: a page without end, made-up engines, silence.

``GET /<engine>/metrics`` is a frame of an embedded engine; ``GET /odd/metrics`` is one too until ``GET /fault/<name>``.
"""

from __future__ import annotations

import asyncio
import time

from bench.scale.server import LOADS, frames

FAULTS = ("giant page", "made-up engines", "slow target")
FRAMES = 200
_GIANT_BYTES = 64 << 20
"""Of a page that does not end where kvwatch stops reading, at 16 MiB [bytes]."""
_MADE_UP = 250
"""Engines that a page shows, each time under other names [engines]."""
_PIECE = b'vllm:num_requests_running{engine="0",model_name="m"} 3\n' * 1000


class Server(asyncio.Protocol):
    """Answers requests of one connection; the fault is the whole server's."""

    pool: tuple[list[bytes], ...] = ()
    started = 0.0
    fault = ""
    served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._pending = b""
        self._giving: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        *requests, self._pending = (self._pending + data).split(b"\r\n\r\n")
        for request in requests:
            self._answer(request.split(b" ", 2)[1].decode().strip("/").split("/"))

    def _answer(self, path: list[str]) -> None:
        kind = type(self)
        kind.served += 1
        if path[0] == "fault":
            kind.fault = path[1].replace("%20", " ") if len(path) > 1 else ""
            self._transport.write(_whole(b""))
        elif path[0] == "odd" and kind.fault == "giant page":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _GIANT_BYTES)
            self._giving = asyncio.ensure_future(self._give())
        elif path[0] == "odd" and kind.fault == "made-up engines":
            self._transport.write(_whole(_made_up(kind.served)))
        elif path[0] != "odd" or kind.fault != "slow target":
            number = int(path[0]) if path[0].isdigit() else 0
            shown = kind.pool[number % len(kind.pool)]
            self._transport.write(shown[(number * 7 + int(time.monotonic() - kind.started)) % len(shown)])

    async def _give(self) -> None:
        for _ in range(_GIANT_BYTES // len(_PIECE)):
            if self._transport.is_closing():
                return
            self._transport.write(_PIECE)
            await asyncio.sleep(0)


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _made_up(number: int) -> bytes:
    gauges = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
    return "".join(
        f'vllm:{gauge}{{engine="{engine}",model_name="model-{number}"}} 1\n'
        for gauge in gauges
        for engine in range(_MADE_UP)
    ).encode()


async def main() -> None:
    """Serve until killed; the port is printed when it listens."""
    Server.pool = tuple(frames(load, FRAMES, seed) for seed, load in enumerate(LOADS))
    Server.started = time.monotonic()
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
