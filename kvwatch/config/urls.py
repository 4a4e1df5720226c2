"""Addresses: the URL of a target, and where kvwatch itself listens.

Pure text work, shared by the configuration file and the command line, so that both give the same message.
Messages about a URL that holds a password do not quote it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_METRICS_SUFFIX = "/metrics"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9a-fA-F:.]+(%\w+)?")


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """A target's address taken apart; ``host_port`` is the value of the label ``target``."""

    base_url: str
    host_port: str
    https: bool


def parse_target_url(url: str) -> TargetUrl:
    """Read the URL of a vLLM server, with or without ``/metrics`` at its end.

    Raises:
        ValueError: what is wrong with it and how to mend it.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("has characters that no URL has; write it like http://localhost:8000")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL ({error}); write it like http://localhost:8000") from None
    _refuse(url, parts)
    host = (parts.hostname or "").lower()
    if not _HOST.fullmatch(host):
        raise ValueError(f'"{host}" is not a host name; write it like http://localhost:8000')
    if ":" in host:  # one address, one name, however many zeros are written
        with suppress(ValueError):
            host = ip_address(host).compressed
    if port == 0:
        raise ValueError("port 0 cannot be reached; give the port that vLLM listens on")
    prefix = parts.path.rstrip("/").removesuffix(_METRICS_SUFFIX).rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    host_port = f"{shown}:{port or _DEFAULT_PORTS[parts.scheme]}"
    return TargetUrl(f"{parts.scheme}://{host_port}{prefix}", host_port, parts.scheme == "https")


def _refuse(url: str, parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it; use basic_auth with password_file instead")
    if "://" not in url:
        raise ValueError(f'"{url}" has no scheme; write http://{url} or https://{url}')
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f'scheme "{parts.scheme}" is not known; use http or https')
    if not parts.hostname:
        raise ValueError("has no host; write it like http://localhost:8000")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("has a query or fragment; give the server's address only, and metrics_path for the path")


def check_endpoint(url: str) -> None:
    """Refuse what is no URL of an endpoint; unlike a target's, it may have a query.

    Raises:
        ValueError: what is wrong with it and how to mend it.
    """
    parse_target_url(url.partition("?")[0])


def parse_listen(address: str) -> tuple[str, int]:
    """Read ``host:port``, ``:port`` (every interface) or ``[ipv6]:port``; port 0 picks a free one.

    Raises:
        ValueError: what is wrong with it and how to mend it.
    """
    host, colon, port_text = address.rpartition(":")
    if not colon or not port_text.isdecimal() or not port_text.isascii():
        raise ValueError(f'"{address}" has no port; write it like ":9718" or "127.0.0.1:9718"')
    if int(port_text) > 65535:
        raise ValueError(f"port {port_text} is out of range; give 0 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f'"{address}" is ambiguous; write an IPv6 address in brackets like "[::1]:9718"')
    if host and not _HOST.fullmatch(host):
        raise ValueError(f'"{host}" is not a host name or address; write it like ":9718" or "127.0.0.1:9718"')
    return host, int(port_text)
