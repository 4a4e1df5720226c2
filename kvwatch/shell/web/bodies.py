"""The bodies of large answers: made once for all who wait for them, in slices of time, and sent in pieces."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self, TypeVar

from aiohttp import web

T = TypeVar("T")

SLICE_SECONDS = 0.02
"""Longest stretch of work on a page before scrapes that are due have their turn. Choice: 2% of the usual interval."""
_COMPRESS_ABOVE_BYTES = 8 * 1024
"""Choice: a smaller answer fits into a few packets anyway."""
_COMPRESSION_LEVEL = 6
"""zlib's default."""
PIECE_BYTES = 64 * 1024
"""Sent at a time, and so what a client that does not read holds besides the body, which it shares with others.

asyncio's default for the most that a transport buffers before it asks the writer to wait."""
_GZIP_WINDOW_BITS = 31
"""zlib's code for a window of 32 KiB within a gzip header."""


class Body:
    """The bytes of an answer, and the same compressed once a client has asked for that."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._compressed: bytes | None = None

    async def gzipped(self) -> bytes:
        """Compressed, with pauses for what is due meanwhile."""
        if self._compressed is None:
            compressor = zlib.compressobj(_COMPRESSION_LEVEL, wbits=_GZIP_WINDOW_BITS)
            pieces = (self.plain[at : at + PIECE_BYTES] for at in range(0, len(self.plain), PIECE_BYTES))
            compressed = b"".join(await in_slices(map(compressor.compress, pieces))) + compressor.flush()
            self._compressed = self._compressed or compressed
        return self._compressed


class Answer(web.Response):
    """An answer whose body is handed to the connection piece by piece, as fast as the client takes it."""

    @classmethod
    async def of(cls, request: web.Request, body: Body, headers: Mapping[str, str]) -> Self:
        """The answer to a request, compressed where it is long and the client takes that."""
        data, own = body.plain, dict(headers)
        if len(data) > _COMPRESS_ABOVE_BYTES:
            own["Vary"] = ", ".join(filter(None, (own.get("Vary"), "Accept-Encoding")))
            if "gzip" in request.headers.get("Accept-Encoding", "").lower():
                data = await body.gzipped()
                own["Content-Encoding"] = "gzip"
        answer = cls(body=data, headers=own)
        answer._head_only = request.method == "HEAD"
        return answer

    _head_only = False
    _sent = False

    async def write_eof(self, data: bytes = b"") -> None:
        """Send what there is of the body, once; returns when the rest fits into the connection's buffer."""
        if not (self._sent or self._head_only) and isinstance(self.body, bytes):
            self._sent = True
            body = memoryview(self.body)
            for at in range(0, len(body), PIECE_BYTES):
                await self.write(body[at : at + PIECE_BYTES])
        await web.StreamResponse.write_eof(self, data)


class BodyMaker:
    """Makes bodies one at a time. All who ask for one before it is begun get the same.

    So each request is answered with what was known after it came, and any number of clients cost as much as two.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._next: dict[str, asyncio.Task[Body]] = {}
        """Those that are not begun yet, by what they are of."""

    async def get(self, name: str, make: Callable[[], Awaitable[Body]]) -> Body:
        """The body of this name, made by ``make`` when its turn comes."""
        making = self._next.get(name)
        if making is None:
            making = self._next[name] = asyncio.create_task(self._made(name, make), name=f"page {name}")
        return await asyncio.shield(making)  # a client that goes away does not take it from the others

    async def _made(self, name: str, make: Callable[[], Awaitable[Body]]) -> Body:
        async with self._turn:
            del self._next[name]
            return await make()


async def in_slices(pieces: Iterable[T]) -> list[T]:
    """All pieces, made a few milliseconds' worth at a time; what is due meanwhile has its turn between."""
    loop = asyncio.get_running_loop()
    found = []
    began = loop.time()
    for piece in pieces:
        found.append(piece)
        if loop.time() - began > SLICE_SECONDS:
            await asyncio.sleep(0)
            began = loop.time()
    return found
