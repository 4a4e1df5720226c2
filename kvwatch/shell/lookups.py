"""Names of hosts, looked up so that one whose lookup hangs costs nobody but itself.

The system's resolver (hosts file, search domains, and whatever else the machine is set up with) can be asked in a
thread only, and may take half a minute to give up. So each lookup has a thread of its own, which the process does not
wait for at its end; a name is looked up once at a time, and who waits for it gets an error after two seconds while the
lookup goes on. Where a name server does not answer, the last known addresses stay in use for some minutes
(RFC 8767 calls that serving stale data).
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from kvwatch.shell.threads import in_daemon_thread

WAIT_SECONDS = 2.0
"""For a lookup of a name that is not known. Choice: less than a scrape may take, so that the fault has its name."""
STALE_WAIT_SECONDS = 0.5
"""For one of a name that is: then the addresses that it had are taken. Choice: half of the usual scrape interval."""
STALE_SECONDS = 300.0
"""How long addresses are taken after they were last looked up. Choice: name servers are back within some minutes, and
after a longer time an address may be another pod's."""
MOST_QUICK = 128
"""Lookups that have not taken long yet. Choice: 5,000 names that all hang are through within two minutes."""
MOST_LOOKUPS = 512
"""Threads at a time. Choice: as many as clients may have connections."""
MOST_KNOWN = 10_000
"""Names that are remembered. Choice: two for each of the most targets that can be watched."""

_Key = tuple[str, int]
"""A name and the address family it is looked up in."""


@dataclass(frozen=True, slots=True)
class _Known:
    infos: list[Any]
    """As :func:`socket.getaddrinfo` gives them."""
    at: float
    """When they were looked up, by the event loop's clock [s]."""


class HangingLookupError(OSError):
    """A name that cannot be looked up now; the message says why."""


class Lookups(AbstractResolver):
    """Looks names up for all clients of an event loop. ``ask`` does so and blocks: :func:`socket.getaddrinfo`."""

    def __init__(self, ask: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._ask = ask
        self._running: dict[_Key, tuple[asyncio.Task[list[Any]], float]] = {}
        """Lookups under way, and when each began."""
        self._known: OrderedDict[_Key, _Known] = OrderedDict()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, as aiohttp's connector wants them. Raises OSError where it has none, or hangs."""
        infos = await self.addresses(host, family)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=_address(sockaddr), port=port, family=found, proto=protocol, flags=flags)
            for found, _, protocol, _, sockaddr in infos
        ]

    async def addresses(self, host: str, family: int = socket.AF_UNSPEC) -> list[Any]:
        """What :func:`socket.getaddrinfo` finds for a host, with port 0.

        Raises:
            OSError: the host has no addresses, or they are not known in time.
        """
        key = host, int(family)
        now = asyncio.get_running_loop().time()
        known = self._known.get(key)
        if known is not None and now - known.at > STALE_SECONDS:
            known = None
        try:
            lookup = self._lookup(key, now)
            async with asyncio.timeout(STALE_WAIT_SECONDS if known is not None else WAIT_SECONDS):
                return await asyncio.shield(lookup)
        except socket.gaierror as error:
            if known is None or error.errno != socket.EAI_AGAIN:
                self._known.pop(key, None)
                raise
            return known.infos
        except TimeoutError:
            if known is None:
                raise HangingLookupError(f"the name servers have not answered within {WAIT_SECONDS:g} s") from None
            return known.infos
        except HangingLookupError:
            if known is None:
                raise
            return known.infos

    def _lookup(self, key: _Key, now: float) -> asyncio.Task[list[Any]]:
        """The lookup of a name that is under way, or a new one."""
        running = self._running.get(key)
        if running is not None:
            return running[0]
        quick = sum(now - began < WAIT_SECONDS for _, began in self._running.values())
        if quick >= MOST_QUICK or len(self._running) >= MOST_LOOKUPS:
            raise HangingLookupError("too many lookups of names hang")
        task = asyncio.create_task(self._look_up(key), name=f"look up {key[0]}")
        task.add_done_callback(_seen)
        self._running[key] = task, now
        return task

    async def _look_up(self, key: _Key) -> list[Any]:
        host, family = key
        try:
            infos = await in_daemon_thread(
                lambda: self._ask(host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG),
                f"kvwatch-lookup {host}",
            )
        finally:
            del self._running[key]
        self._known[key] = _Known(infos, asyncio.get_running_loop().time())
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return infos

    async def close(self) -> None:
        """Give up what is under way; the threads end by themselves or with the process."""
        for task, _ in self._running.values():
            task.cancel()
        await asyncio.gather(*(task for task, _ in list(self._running.values())), return_exceptions=True)


def _seen(lookup: asyncio.Task[list[Any]]) -> None:
    """Nobody may wait any more for a lookup that fails in the end, and that is no fault."""
    if not lookup.cancelled():
        lookup.exception()


def _address(sockaddr: tuple[Any, ...]) -> str:
    """The address in one of the system's socket addresses, an IPv6 one with its zone where it has one."""
    zone = f"%{sockaddr[3]}" if len(sockaddr) == 4 and sockaddr[3] else ""
    return f"{sockaddr[0]}{zone}"
