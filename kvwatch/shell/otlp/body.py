"""Reads the body of an export: bounded in size after decompression, in time, and in memory over all senders."""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from kvwatch.shell.otlp.limits import Share

_INFLATE_BYTES = 256 * 1024
_MAX_MEMBERS = 1000
"""Each costs a few microseconds and 20 bytes, even an empty one."""
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class BodyError(Exception):
    """A body that is refused: the status of the answer, and why in words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: web.Request, share: Share, *, max_bytes: int, within_seconds: float) -> bytes:
    """The whole body, decompressed.

    Raises:
        BodyError: it is too long, too slow, damaged, or in an encoding that is not known.
        BusyError: all senders together hold too much at the moment.
    """
    encoding = request.headers.get("Content-Encoding", "")
    inflate = _inflater(encoding)
    if inflate is None and (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size, members = 0, 1
    try:
        async with asyncio.timeout(within_seconds):
            async for piece in request.content.iter_any():
                pending = piece
                while pending:
                    if inflate is None:
                        data, pending = pending, b""
                    else:
                        if inflate.eof:
                            members += 1
                            inflate = _next_member(encoding, members)
                        data = inflate.decompress(pending, _INFLATE_BYTES)
                        pending = inflate.unconsumed_tail or inflate.unused_data
                    size += len(data)
                    if size > max_bytes:
                        raise _too_large(max_bytes)
                    share.take(len(data))
                    parts.append(data)
                    if inflate is not None:
                        await asyncio.sleep(0)  # little that is sent can be much to inflate
    except TimeoutError:
        raise BodyError(408, f"the body did not come within {within_seconds:g} s") from None
    except zlib.error as error:
        raise BodyError(400, f"damaged compression: {error}") from None
    except (ClientPayloadError, HttpProcessingError):
        raise BodyError(400, "damaged transfer") from None
    if inflate is not None and not inflate.eof:
        raise BodyError(400, "the compressed body is cut off")
    return b"".join(parts)


def _inflater(encoding: str) -> zlib._Decompress | None:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise BodyError(415, "Content-Encoding may be gzip or deflate")
    return zlib.decompressobj(wbits=bits)


def _next_member(encoding: str, members: int) -> zlib._Decompress:
    """Members come one after the other in gzip (RFC 1952, 2.2), and not in zlib's format."""
    bits = _WINDOW_BITS[encoding.strip().lower()]
    if bits != _WINDOW_BITS["gzip"]:
        raise BodyError(400, "something follows the end of the compressed body")
    if members > _MAX_MEMBERS:
        raise BodyError(400, f"more than {_MAX_MEMBERS} gzip members")
    return zlib.decompressobj(wbits=bits)


def _too_large(max_bytes: int) -> BodyError:
    return BodyError(413, f"more than {max_bytes} bytes after decompression; traces.max_body_bytes is the limit")
