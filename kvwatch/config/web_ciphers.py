"""Cipher suites of TLS 1.2 and older: their names in Go, as web configuration files have them, and in OpenSSL."""

from __future__ import annotations

from kvwatch.config import reader
from kvwatch.config.reader import Fault, Faults

_EXCHANGES = {"ECDHE_ECDSA": "ECDHE-ECDSA-", "ECDHE_RSA": "ECDHE-RSA-", "RSA": ""}
_CIPHERS = {
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "AES_128_CBC_SHA256": "AES128-SHA256",
    "AES_128_CBC_SHA": "AES128-SHA",
    "AES_256_CBC_SHA": "AES256-SHA",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
_ALWAYS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Those of TLS 1.3, which cannot be switched off; Go's list may name them."""


def cipher_suites(value: object, path: str, faults: Faults) -> tuple[str, ...] | None:
    """OpenSSL's names of a list of Go's."""
    names = reader.texts(value, path, faults)
    if names is None:
        return None
    found = []
    for index, name in enumerate(names):
        exchange, _, cipher = name.removeprefix("TLS_").partition("_WITH_")
        if exchange in _EXCHANGES and cipher in _CIPHERS:
            found.append(_EXCHANGES[exchange] + _CIPHERS[cipher])
        elif name not in _ALWAYS:
            known = [f"TLS_{e}_WITH_{c}" for e in _EXCHANGES for c in _CIPHERS]
            faults.append(Fault(f"{path}[{index}]", f"unknown suite; {reader.suggest(name, known)}"))
    return tuple(found)
