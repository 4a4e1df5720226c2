"""The TLS settings of kvwatch's own ports."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files and what is asked of clients; ciphers and curve are OpenSSL's names, none is OpenSSL's choice."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_cert_required: bool = False
    oldest: str = "TLS12"
    newest: str = "TLS13"
    ciphers: Sequence[str] = ()
    curve: str | None = None


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """A server's context.

    Raises:
        OSError: a file cannot be read or used, or OpenSSL has no such ciphers.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[settings.oldest], _VERSIONS[settings.newest]
    context.load_cert_chain(settings.cert_file, settings.key_file)
    if settings.client_ca_file is not None:
        context.load_verify_locations(settings.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if settings.client_cert_required else ssl.CERT_OPTIONAL
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    if settings.curve is not None:
        context.set_ecdh_curve(settings.curve)
    return context
