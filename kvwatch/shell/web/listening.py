"""Sockets that listen, and the connections that they accept, whatever becomes of the process's file descriptors."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable

_BACKLOG = 128
"""Connections that the system holds until they are accepted. Choice: the most that Linux gave before 5.4."""
_SEND_BUFFER_BYTES = 128 * 1024
"""Of each connection, in the system's memory. Choice: 512 connections hold 128 MiB at most (Linux doubles it, see
socket(7)), and 128 KiB under way are 10 MB/s over a round trip of 13 ms."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of accept(2) that stay until something else gives back what it holds."""
_PAUSE_SECONDS = 1.0
"""Until the next attempt after one of these. Choice: asyncio's own."""


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of a host, or on every interface for an empty one; port 0 is a free one.

    Raises:
        OSError: one of the addresses cannot be had.
    """
    if host:
        infos = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in infos))
    elif port == 0:  # each family would get a free port of its own
        addresses = [(socket.AF_INET, ("0.0.0.0", 0))]  # noqa: S104 - as documented
    else:
        addresses = [(socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port))]  # noqa: S104 - as documented
    made: list[socket.socket] = []
    try:
        for family, address in addresses:
            try:
                made.append(_listening(family, address))
            except OSError as error:
                without_ipv6 = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
                if host or family != socket.AF_INET6 or not without_ipv6:
                    raise
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)  # inherited by what is accepted
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        where = f"{address[0]}:{address[1]}"
        raise OSError(error.errno, f"cannot listen on {where}: {(error.strerror or '').lower()}") from None
    return made


async def accepted(listening: socket.socket, exhausted: Callable[[], None]) -> AsyncIterator[socket.socket]:
    """Connections, for ever; ``exhausted`` is called at each attempt for which the system has nothing left.

    Python's own accept loop, before 3.12, goes on at once in that case, as often as the backlog is long, and each time
    starts another loop a second later: hundreds of thousands of logged attempts within half a minute.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionError:  # it went away before it was accepted
                continue
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                exhausted()
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            yield connection
    finally:
        listening.close()
