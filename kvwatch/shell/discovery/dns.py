"""Targets from DNS: the addresses of a headless Service, or SRV records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dns.asyncresolver
import dns.exception
import dns.resolver

from kvwatch.shell.discovery.found import Deliver, Failed, Found, join
from kvwatch.shell.tasks import sleep
from kvwatch.shell.threads import in_daemon_thread

_SHORTEST_SECONDS = 5.0
_LOOKUP_SECONDS = 10.0


class DnsSource:
    """Looks names up for ever. A name without records has no targets; one that cannot be looked up keeps its own.

    ``resolver`` makes the resolver of each round, so that a changed resolv.conf is seen.
    """

    def __init__(
        self,
        names: Sequence[str],
        kind: str,
        port: int,
        interval_seconds: float,
        resolver: Callable[[], dns.asyncresolver.Resolver] = dns.asyncresolver.Resolver,
    ) -> None:
        self._names, self._kind, self._port = tuple(names), kind, port
        self._interval_seconds = interval_seconds
        self._resolver = resolver
        self._found: dict[str, tuple[Found, ...]] = {}

    def resume(self, before: DnsSource) -> None:
        """Go on from what another has found: a name that cannot be looked up keeps the targets that it had there."""
        self._found = {name: found for name, found in before._found.items() if name in self._names}

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Look up for ever, as often as the records' time to live asks for."""
        while True:
            pause = self._interval_seconds
            answered, failures = False, 0
            for name in self._names:
                try:
                    self._found[name], lives = await self._look_up(name)
                    pause = min(pause, max(lives, _SHORTEST_SECONDS))
                    answered = True
                except (dns.exception.DNSException, OSError) as error:
                    failures += 1
                    failed(f"{name}: {' '.join(str(error).split())[:200] or type(error).__name__}")
            if answered:
                deliver(tuple(found for name in self._names for found in self._found.get(name, ())), whole=not failures)
            await sleep(pause)

    async def _look_up(self, name: str) -> tuple[tuple[Found, ...], float]:
        """Targets behind a name, and how long they hold [s]."""
        resolver = await in_daemon_thread(self._resolver, "kvwatch-resolver")  # reads a file
        try:
            answer = await resolver.resolve(name, self._kind, search=True, lifetime=_LOOKUP_SECONDS)
        except dns.resolver.NoAnswer:  # a Service without pods; a name that does not exist is a fault
            return (), self._interval_seconds
        addresses = sorted(
            join(str(record.target).rstrip("."), record.port)
            if self._kind == "SRV"
            else join(record.address, self._port)
            for record in answer
            if self._kind != "SRV" or (record.port and str(record.target) != ".")  # "." is how SRV says: nowhere
        )
        ttl = float(answer.rrset.ttl) if answer.rrset is not None else self._interval_seconds
        return tuple(Found(address, address) for address in dict.fromkeys(addresses)), ttl
