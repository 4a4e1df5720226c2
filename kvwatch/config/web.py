"""The web configuration file: TLS, users and headers of kvwatch's own port, in the format of Prometheus' exporters.

The format is that of the exporter-toolkit (github.com/prometheus/exporter-toolkit, docs/web-configuration.md), so that
one file serves every exporter of a fleet. Files that it names are found beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvwatch.config import reader
from kvwatch.config.document import MAX_FILE_BYTES, load_document
from kvwatch.config.option import Option, Section, table
from kvwatch.config.reader import ConfigError, Fault, Faults, show
from kvwatch.config.section import read_section
from kvwatch.config.web_ciphers import cipher_suites

_BCRYPT = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_DEAREST_COST = 14
"""Of a bcrypt hash [doublings of work]. Choice: a second of CPU for each wrong password; 10 is what htpasswd makes."""
_CLIENT_AUTH = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert")
_VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
"""Of the file, and as OpenSSL names them."""
HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
"""Those that the format allows to set."""


def _client_auth(value: object, path: str, faults: Faults) -> str | None:
    if value in _UNVERIFIED:
        faults.append(Fault(path, f"{value} proves nothing and is not offered; give {_CLIENT_AUTH[-1]}"))
        return None
    return str(value) if reader.choice(*_CLIENT_AUTH)(value, path, faults) is not None else None


def _curve(value: object, path: str, faults: Faults) -> str | None:
    names = reader.texts(value, path, faults) or ()
    if len(names) > 1:
        faults.append(Fault(path, "only one curve can be chosen; give one, or leave the key out for OpenSSL's choice"))
    elif names and names[0] not in _CURVES:
        faults.append(Fault(path, f"unknown curve; {reader.suggest(names[0], _CURVES)}"))
    elif names:
        return _CURVES[names[0]]
    return None


def _users(value: object, path: str, faults: Faults) -> dict[str, bytes] | None:
    """Names and bcrypt hashes; no message quotes a hash."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.append(Fault(path, "expected names and bcrypt hashes"))
        return None
    found: dict[str, bytes] = {}
    for name, hashed in value.items():
        place = f"{path}.{name}"
        match = _BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
        if not isinstance(name, str) or not name or ":" in name:
            faults.append(Fault(path, f"{show(name)} is no name of a user: text without a colon"))
        elif match is None:
            faults.append(Fault(place, 'expected a bcrypt hash in quotes; "htpasswd -nBC 10 NAME" makes one'))
        elif not 4 <= int(match[1]) <= _DEAREST_COST:
            faults.append(Fault(place, f"the hash's cost {int(match[1])} is not from 4 to {_DEAREST_COST}"))
        else:
            found[name] = hashed.encode()
    return found


_TLS = Section(
    "tls_server_config",
    "Serve HTTPS instead of HTTP.",
    table(
        Option("cert_file", reader.file_path, "path", "PEM file with the certificate chain.", required=True),
        Option("key_file", reader.file_path, "path", "PEM file with the private key.", required=True),
        Option(
            "client_auth_type",
            _client_auth,
            "word",
            "Whether clients show a certificate: `NoClientCert`, `VerifyClientCertIfGiven` or "
            "`RequireAndVerifyClientCert`.",
            "NoClientCert",
        ),
        Option("client_ca_file", reader.file_path, "path", "PEM file with the authorities of clients' certificates."),
        Option(
            "client_allowed_sans",
            reader.texts,
            "list of texts",
            "Alternative names, one of which a client's certificate must have; 403 else.",
        ),
        Option("min_version", reader.choice(*_VERSIONS), "TLS10 to TLS13", "Oldest version of TLS.", "TLS12"),
        Option("max_version", reader.choice(*_VERSIONS), "TLS10 to TLS13", "Newest version of TLS.", "TLS13"),
        Option("cipher_suites", cipher_suites, "list of texts", "Suites for TLS 1.2 and older, as Go names them."),
        Option("curve_preferences", _curve, "list of one text", "Curve of the key exchange.", field="curve"),
        Option(
            "prefer_server_cipher_suites", reader.boolean, "true or false", "Taken and not needed: they are.", "true"
        ),
    ),
)
_HTTP = Section(
    "http_server_config",
    "",
    table(
        Option("http2", reader.boolean, "true or false", "Taken, and without effect: kvwatch speaks HTTP/1.1.", "true"),
        Section(
            "headers",
            "Headers of every answer; kvwatch's own stricter ones stand where none is given.",
            table(*(Option(name, reader.text, "text", "As it is sent.") for name in HEADERS)),
        ),
    ),
)
WEB = Section(
    "",
    "",
    table(
        _TLS,
        _HTTP,
        Option(
            "basic_auth_users",
            _users,
            "names and bcrypt hashes",
            "Who may read: names and bcrypt hashes of their passwords; without it everyone who reaches the port.",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class WebTls:
    """How kvwatch's own port speaks TLS. Versions are ``TLS10`` to ``TLS13``, ciphers and curve OpenSSL's names."""

    cert_file: Path
    key_file: Path
    client_auth_type: str = "NoClientCert"
    client_ca_file: Path | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    curve: str | None = None


@dataclass(frozen=True, slots=True)
class WebConfig:
    """TLS, headers by name, and bcrypt hashes by user."""

    tls: WebTls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def load_web_config(path: Path) -> WebConfig:
    """Read and check a file.

    Raises:
        ConfigError: every fault in it, or why it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot read the file: {error.strerror}")]) from None
    try:
        return read_web_config(content, path.parent)
    except ConfigError as error:
        raise ConfigError(
            Fault(f"{path}: {one.path}" if one.path else str(path), one.message) for one in error.faults
        ) from None


def read_web_config(content: bytes, folder: Path) -> WebConfig:
    """Check the content of a file that lies in ``folder``.

    Raises:
        ConfigError: every fault in it.
    """
    faults: Faults = []
    given = {key: value for key, value in load_document(content).items() if value is not None}
    values = read_section(given, WEB, "", faults)
    tls = values.get("tls_server_config")
    if tls is not None:
        _check(tls, faults)
    if faults:
        raise ConfigError(faults)
    return WebConfig(
        None if tls is None else _tls(tls, folder),
        values.get("http_server_config", {}).get("headers", {}),
        values.get("basic_auth_users", {}),
    )


def _check(tls: dict[str, Any], faults: Faults) -> None:
    """What of a TLS section does not go together."""
    place = "tls_server_config"
    asked = tls.get("client_auth_type", _CLIENT_AUTH[0]) != _CLIENT_AUTH[0]
    if asked and "client_ca_file" not in tls:
        faults.append(Fault(f"{place}.client_auth_type", "needs client_ca_file; add it"))
    if not asked and "client_ca_file" in tls:
        faults.append(Fault(f"{place}.client_ca_file", f"is of no use without client_auth_type: {_CLIENT_AUTH[-1]}"))
    if "client_allowed_sans" in tls and tls.get("client_auth_type") != _CLIENT_AUTH[-1]:
        faults.append(Fault(f"{place}.client_allowed_sans", f"needs client_auth_type: {_CLIENT_AUTH[-1]}"))
    oldest, newest = tls.get("min_version", "TLS12"), tls.get("max_version", "TLS13")
    if oldest > newest:
        faults.append(Fault(f"{place}.min_version", f"{oldest} is newer than max_version, {newest}"))


def _tls(values: dict[str, Any], folder: Path) -> WebTls:
    own = {key: value for key, value in values.items() if key != "prefer_server_cipher_suites"}
    for key in ("cert_file", "key_file", "client_ca_file"):
        if key in own:
            own[key] = folder / own[key]
    return WebTls(**own)
