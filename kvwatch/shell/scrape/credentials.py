"""Secrets from files: read when they are needed, read again when the file changes, never shown.

A value lives only in the header of a request. No object here has it in its repr.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

MAX_SECRET_BYTES = 64 * 1024
_KEPT_CONTEXTS = 64
T = TypeVar("T")


class CredentialsError(Exception):
    """A file that cannot be read or used; the message names the file and the fault, never the content."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the secrets and certificates for one target are; all optional."""

    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False


class _Cached(Generic[T]):
    """A value made from files, kept until one of them changes on disk."""

    def __init__(self) -> None:
        self._stamp: object = None
        self._value: T | None = None

    def get(self, stamp: object) -> T | None:
        return self._value if stamp == self._stamp else None

    def put(self, stamp: object, value: T) -> T:
        self._stamp, self._value = stamp, value
        return value


class Authenticator:
    """Gives each request the headers and the TLS settings that its target asks for."""

    def __init__(self, credentials: Credentials, *, https: bool) -> None:
        self._credentials = credentials
        self._https = https
        self._header: _Cached[str] = _Cached()

    def headers(self) -> dict[str, str]:
        """The Authorization header, or nothing.

        Raises:
            CredentialsError: the file cannot be read, or holds what no header can carry.
        """
        path = self._credentials.bearer_token_file or self._credentials.password_file
        if path is None:
            return {}
        stamp = _stamp(path)
        header = self._header.get(stamp)
        if header is None:
            header = self._header.put(stamp, self._make_header(_read_secret(path)))
        return {"Authorization": header}

    def tls(self) -> ssl.SSLContext | bool:
        """The TLS settings; true stands for the system's own.

        Raises:
            CredentialsError: a certificate or key cannot be read.
        """
        c = self._credentials
        if not self._https or not (c.ca_file or c.cert_file or c.insecure_skip_verify):
            return True
        files = [path for path in (c.ca_file, c.cert_file, c.key_file) if path is not None]
        return _context(c.ca_file, c.cert_file, c.key_file, c.insecure_skip_verify, tuple(map(_stamp, files)))

    def _make_header(self, secret: str) -> str:
        if self._credentials.bearer_token_file:
            return f"Bearer {secret}"
        pair = f"{self._credentials.username}:{secret}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")


@lru_cache(maxsize=_KEPT_CONTEXTS)
def _context(
    ca_file: Path | None, cert_file: Path | None, key_file: Path | None, insecure_skip_verify: bool, _stamps: object
) -> ssl.SSLContext:
    """The TLS settings of all targets with these files as they are now: to make them takes tens of milliseconds."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file:
            context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(str(path) for path in (ca_file, cert_file, key_file) if path)
        raise CredentialsError(f"cannot use {names}: {error.strerror or error}") from None
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise CredentialsError(f"cannot read {path}: {error.strerror}") from None
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise CredentialsError(f"cannot read {path}: {error.strerror}") from None
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable() or len(content) > MAX_SECRET_BYTES:
        raise CredentialsError(f"{path} does not hold one line of text")
    return secret
