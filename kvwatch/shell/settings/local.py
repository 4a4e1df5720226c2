"""Is a target on this host, so that its process may be visible here?"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


def local_port(base_url: str) -> int | None:
    """The port of a target that has an address of this network namespace; ``None`` for one elsewhere.

    Only what needs no name server is looked up: ``localhost``, this host's own name, and addresses.
    """
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    return port if host in ("localhost", socket.gethostname()) or _is_own(host) else None


def _is_own(host: str) -> bool:
    """Whether an address is one of ours: only then a socket can have it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
