"""The HTTP API of a Prometheus, or of what speaks like one: one question at a time, no faster than allowed.

What fails for a moment is asked again after a pause; what is too much for one answer is a :class:`TooMuchError`, and
whoever asks asks for less.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
import orjson
from yarl import URL

from kvwatch.shell.scrape.client import FetchError, new_session, translated
from kvwatch.shell.scrape.credentials import Authenticator, Credentials, CredentialsError

_MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""Longest answer that is read [bytes]. Choice: memory; a window of raw samples that is asked for has a twentieth."""
_ATTEMPTS = 6
"""How often a question is asked that fails for a moment [1]. Choice: with pauses that double, a minute."""
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same question may be answered."""
_TOO_MANY_REQUESTS = 429
"""Who says that means how often is asked, and not what."""
_TOO_MUCH_WORDS = (
    "too many samples",
    "exceeded maximum resolution",
    "timed out",
    "too many points",
    "limit",
    "too large",
)
_MAX_WORDS = 300
_GZIP_OR_ZLIB = 47
"""What zlib takes for either format [1]. Definition: its documentation, 32 and a window of 15 bits."""


class PrometheusError(Exception):
    """It did not answer, or with an error; the message is for the user and names no secret."""


class TooMuchError(PrometheusError):
    """One answer was too much for it: too many samples or points, or it took too long."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, how to be let in, and how much may be asked of it. Times in seconds."""

    url: str
    credentials: Credentials = field(default_factory=Credentials)
    timeout_seconds: float = 60.0
    queries_per_second: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """Questions to one server, within a running event loop; use as an asynchronous context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._authenticator = Authenticator(server.credentials, https=server.url.startswith("https:"))
        self._opened = new_session()
        self._session: aiohttp.ClientSession | None = None
        self._next_at = 0.0
        self._method = "POST"
        self._answered = False
        """Whether it has ever answered: who never has is not there, and not only busy."""

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    async def __aenter__(self) -> Api:
        self._session = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    async def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 (what JSON holds)
        """The ``data`` of an answer.

        Raises:
            TooMuchError: the question asks for too much at once.
            PrometheusError: it fails for any other reason.
        """
        pause = _FIRST_PAUSE_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            await self._turn()
            try:
                return await self._once(path, parameters)
            except _PassingError as error:
                if attempt == _ATTEMPTS:
                    raise PrometheusError(f"{self._server.url}: {error} ({attempt} attempts)") from None
                await asyncio.sleep(min(max(pause, error.after_seconds), _LONGEST_PAUSE_SECONDS))
                pause *= 2
        raise AssertionError

    async def _turn(self) -> None:
        """Wait until a question may be asked."""
        now = asyncio.get_running_loop().time()
        wait, self._next_at = self._next_at - now, max(self._next_at, now) + 1 / self._server.queries_per_second
        if wait > 0:
            await asyncio.sleep(wait)

    async def _once(self, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401
        if self._session is None:
            raise PrometheusError("the connection is not open")
        url = URL(self._server.url.rstrip("/") + path, encoded=True)
        form = {"data": parameters} if self._method == "POST" else {"params": parameters}
        try:
            async with (
                asyncio.timeout(self._server.timeout_seconds),
                self._session.request(
                    self._method,
                    url,
                    headers={
                        **self._server.headers,
                        **self._authenticator.headers(),
                        "Accept": "application/json",
                        "Accept-Encoding": "gzip",
                    },
                    ssl=self._authenticator.tls(),
                    allow_redirects=False,
                    **form,  # type: ignore[arg-type]
                ) as response,
            ):
                body = await _body(response)
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise TooMuchError(f"no answer within {self._server.timeout_seconds:g} s") from None
        except CredentialsError as error:
            raise PrometheusError(str(error)) from None
        except zlib.error as error:
            raise _PassingError(f"broken compression: {error}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            told: FetchError = translated(error)
            if told.reason in {"tls", "dns"} or not self._answered:
                raise PrometheusError(f"{self._server.url}: {told.detail}") from None
            raise _PassingError(told.detail) from None
        self._answered = True
        if status == 405 and self._method == "POST":
            self._method = "GET"
            return await self._once(path, parameters)
        return self._data(status, body, retry_after)

    def _data(self, status: int, body: bytes, retry_after: str) -> Any:  # noqa: ANN401
        url = self._server.url
        if status in {401, 403}:
            raise PrometheusError(
                f"{url} answers HTTP {status}: give --bearer-token-file, or --username and --password-file"
            )
        if 300 <= status < 400:
            raise PrometheusError(f"{url} answers HTTP {status}: give the address that it redirects to")
        try:
            document = orjson.loads(body)
        except ValueError:
            document = None
        if status == 200 and isinstance(document, dict) and document.get("status") == "success":
            return document.get("data")
        words = str(document.get("error", ""))[:_MAX_WORDS] if isinstance(document, dict) else ""
        if status != _TOO_MANY_REQUESTS and any(part in words.lower() for part in _TOO_MUCH_WORDS):
            raise TooMuchError(words)
        if status in _PASSING:
            seconds = float(retry_after) if retry_after.isdigit() else 0.0
            raise _PassingError(f"HTTP {status}{': ' if words else ''}{words}", seconds)
        if document is None:
            raise PrometheusError(f"{url} answers HTTP {status}, and not as a Prometheus does; give its base address")
        raise PrometheusError(f"{url} answers: {words or f'HTTP {status}'}")


class _PassingError(Exception):
    """A failure that may pass."""

    def __init__(self, words: str, after_seconds: float = 0.0) -> None:
        super().__init__(words)
        self.after_seconds = after_seconds


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, unpacked; the session leaves that to us."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
    inflate = zlib.decompressobj(wbits=_GZIP_OR_ZLIB) if packed else None
    pieces, left = [], _MAX_ANSWER_BYTES
    async for piece in response.content.iter_any():
        data = piece if inflate is None else inflate.decompress(piece, left + 1)
        left -= len(data)
        if left < 0:
            raise TooMuchError("the answer is too large")
        pieces.append(data)
    return b"".join(pieces)
