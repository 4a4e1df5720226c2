"""Which target a span belongs to: said by the path, by its resource, by being alone, or by the sender's address."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping

from kvwatch.shell.lookups import Lookups
from kvwatch.shell.tasks import ticks

_LOOKUP_SECONDS = 60.0


class TargetTable:
    """The targets by name and by the addresses of their hosts, which ``lookups`` finds."""

    def __init__(self, lookups: Lookups | None = None) -> None:
        self._lookups = lookups or Lookups()
        self._hosts: dict[str, str] = {}
        self._addresses: dict[str, frozenset[str]] = {}
        """Addresses of each host, those of names as they were last looked up."""
        self._by_address: dict[str, str | None] = {}
        """The one target at an address; None where there are several."""

    def follow(self, hosts: Mapping[str, str]) -> None:
        """Take the targets: the host of each by its name."""
        self._hosts = dict(hosts)
        known = {host: frozenset({address}) for host in hosts.values() if (address := plain_address(host)) is not None}
        looked_up = {host: found for host, found in self._addresses.items() if host in hosts.values()}
        self._addresses = looked_up | known
        self._index()

    def __contains__(self, name: str) -> bool:
        return name in self._hosts

    def target_of(self, attribute: str | None, peer: str | None) -> str | None:
        """The target of a span with this value of the configured resource attribute, from this sender.

        An attribute that names no target leaves a span without one, whatever else would fit: it is somebody else's.
        """
        if attribute is not None:
            return attribute if attribute in self._hosts else None
        if len(self._hosts) == 1:
            return next(iter(self._hosts))
        address = plain_address(peer) if peer else None
        return self._by_address.get(address) if address is not None else None

    async def keep_looking_up(self) -> None:
        """Look up the hosts that are names, for ever; one that cannot be found keeps its last addresses."""
        async for _ in ticks(_LOOKUP_SECONDS):
            for host in {host for host in self._hosts.values() if plain_address(host) is None}:
                found = await self._addresses_of(host)
                if found and host in self._hosts.values():
                    self._addresses[host] = found
            self._index()

    async def _addresses_of(self, host: str) -> frozenset[str]:
        try:
            found = await self._lookups.addresses(host)
        except (OSError, UnicodeError):
            return frozenset()
        addresses = (plain_address(str(entry[4][0])) for entry in found)
        return frozenset(address for address in addresses if address is not None)

    def _index(self) -> None:
        at = [(address, name) for name, host in self._hosts.items() for address in self._addresses.get(host, ())]
        several = Counter(address for address, _ in at)
        self._by_address = {address: name if several[address] == 1 else None for address, name in at}


def plain_address(host: str) -> str | None:
    """An IP address in one spelling, without a scope, IPv4 as such; ``None`` for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
