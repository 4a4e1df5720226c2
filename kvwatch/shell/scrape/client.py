"""One HTTP GET with every limit a hostile or broken server calls for.

Time, size after decompression, and redirects are bounded; every way to fail ends in a :class:`FetchError`
with a reason of the closed list. The body is handed on in pieces as it arrives.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from kvwatch import __version__
from kvwatch.shell.lookups import Lookups
from kvwatch.shell.scrape.credentials import Authenticator, Credentials, CredentialsError

_ACCEPT = "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"
_MAX_DETAIL_CHARACTERS = 200
_NO_HEADERS: Mapping[str, str] = {}
_INFLATE_BYTES = 256 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout()
"""The client sets its own, for the whole of a request and what is made of the answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to read: its label, its address, its limits and what is needed to be let in."""

    name: str
    base_url: str
    metrics_path: str = "/metrics"
    credentials: Credentials = field(default_factory=Credentials)
    interval_seconds: float = 1.0
    discovery_interval_seconds: float = 300.0
    timeout_seconds: float = 5.0
    max_body_bytes: int = 16 * 1024 * 1024
    look_at_process: bool = True
    """Whether the command line of the server may be looked at where the target is on this host."""
    look_at_pod: bool = True
    """Whether the pod that kvwatch runs in may be asked for, where the target is in the same."""


class FetchError(Exception):
    """A request that brought nothing: ``reason`` of the closed list, ``detail`` in words."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:_MAX_DETAIL_CHARACTERS]


class SinkError(Exception):
    """The receiver of the body failed, not the request; ``cause`` is its exception."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a complete response besides its body."""

    content_type: str
    duration_seconds: float


@asynccontextmanager
async def new_session(lookups: Lookups | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for all targets: connections are kept and reused, cookies ignored, proxies not used.

    ``lookups`` are closed with it.
    """
    lookups = lookups or Lookups()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=75.0, resolver=lookups),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": f"kvwatch/{__version__}"},
    )
    async with session:
        try:
            yield session
        finally:
            await lookups.close()


class Client:
    """Reads one target over a shared session."""

    def __init__(self, session: aiohttp.ClientSession, target: Target) -> None:
        self._session = session
        self._target = target
        self._authenticator = Authenticator(target.credentials, https=target.base_url.startswith("https:"))
        self._urls: dict[str, URL] = {}
        """Of each path that is asked for, of which there are a few."""

    async def get(
        self,
        path: str,
        sink: Callable[[bytes], object],
        *,
        accept: str = _ACCEPT,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Answer:
        """Fetch ``path`` below the target's address and feed the body to ``sink`` piece by piece.

        Raises:
            FetchError: for every way in which this can fail; ``sink`` may have had a part of the body by then.
            SinkError: ``sink`` raised.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with (
                asyncio.timeout(self._target.timeout_seconds),
                self._session.get(
                    self._urls.get(path) or self._new_url(path),
                    headers={
                        "Accept": accept,
                        "Accept-Encoding": "identity",
                        **headers,
                        **self._authenticator.headers(),
                    },
                    ssl=self._authenticator.tls(),
                    allow_redirects=False,
                    timeout=_NO_TIMEOUT,
                ) as response,
            ):
                _check_status(response)
                await self._read(response, sink)
                answer = Answer(response.content_type, loop.time() - started)
        except TimeoutError:
            raise self._late() from None
        except CredentialsError as error:
            raise FetchError("credentials", str(error)) from None
        except zlib.error as error:
            raise FetchError("protocol", f"broken compression: {error}") from None
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise translated(error) from None
        if answer.duration_seconds > self._target.timeout_seconds:
            # the process was stopped meanwhile, and nobody knows of which time the numbers are
            raise self._late()
        return answer

    def _late(self) -> FetchError:
        return FetchError("timeout", f"no complete answer within {self._target.timeout_seconds:g} s")

    def _new_url(self, path: str) -> URL:
        url = self._urls[path] = URL(self._target.base_url + path, encoded=True)
        return url

    async def _read(self, response: aiohttp.ClientResponse, sink: Callable[[bytes], object]) -> None:
        inflate = _inflater(response)
        left = self._target.max_body_bytes
        async for piece in response.content.iter_any():
            pending = piece
            while pending:
                if inflate is None:
                    data, pending = pending, b""
                else:
                    data = inflate.decompress(pending, min(left + 1, _INFLATE_BYTES))
                    pending = inflate.unconsumed_tail
                left -= len(data)
                if left < 0:
                    raise FetchError("too_large", f"more than {self._target.max_body_bytes} bytes")
                try:
                    sink(data)
                except Exception as error:
                    raise SinkError(error) from error
        if inflate is not None and not inflate.eof:
            raise FetchError("protocol", "the compressed answer is cut off")


def _check_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 200:
        return
    if status in (401, 403):
        raise FetchError("unauthorized", f"HTTP {status}; set bearer_token_file or basic_auth for this target")
    if 300 <= status < 400:
        raise FetchError("redirect", f"HTTP {status}; give the final address as the target's url")
    raise FetchError("status", f"HTTP {status}")


def _inflater(response: aiohttp.ClientResponse) -> zlib._Decompress | None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return zlib.decompressobj(wbits=47 if encoding != "deflate" else 15)
    raise FetchError("protocol", "an encoding that was not asked for")


_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((aiohttp.ServerDisconnectedError,), "connection", "the server closed the connection without an answer"),
    ((aiohttp.ClientPayloadError,), "connection", "the connection broke before the answer was complete"),
    ((aiohttp.ClientResponseError, aiohttp.InvalidURL, ValueError), "protocol", "the answer is not valid HTTP"),
)


def translated(error: Exception) -> FetchError:
    """The reason for an exception of the client library, in words that hold no header and no body."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
        return FetchError("tls", getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "TLS failed")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError("dns", error.os_error.strerror or str(error.os_error))
    for kinds, reason, words in _TRANSLATIONS:
        if isinstance(error, kinds):
            return FetchError(reason, words)
    cause = getattr(error, "os_error", error)
    return FetchError("connection", getattr(cause, "strerror", None) or type(cause).__name__)
