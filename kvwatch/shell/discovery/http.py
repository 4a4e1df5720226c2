"""Targets from an HTTP endpoint that speaks Prometheus's http_sd."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp

from kvwatch.shell.discovery.found import Deliver, Failed, SourceError
from kvwatch.shell.discovery.groups import MAX_BYTES, Listing, read_json
from kvwatch.shell.scrape.client import Client, FetchError, SinkError, Target
from kvwatch.shell.scrape.credentials import Credentials
from kvwatch.shell.tasks import ticks

_TIMEOUT_SECONDS = 30.0


class HttpSource:
    """Asks an endpoint at a steady interval. An answer that is not as it should be changes nothing."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, credentials: Credentials, interval_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = Target(
            url,
            f"{parts.scheme}://{parts.netloc}",
            credentials=credentials,
            timeout_seconds=_TIMEOUT_SECONDS,
            max_body_bytes=MAX_BYTES,
        )
        self._client = Client(session, target)
        self._interval_seconds = interval_seconds

    async def run(self, deliver: Deliver, failed: Failed) -> None:
        """Ask for ever."""
        headers = {"X-Prometheus-Refresh-Interval-Seconds": f"{self._interval_seconds:g}"}
        async for _ in ticks(self._interval_seconds):
            body = bytearray()
            try:
                answer = await self._client.get(self._path, body.extend, accept="application/json", headers=headers)
                listing = await asyncio.to_thread(_read, bytes(body), answer.content_type)
            except (FetchError, SinkError, SourceError) as error:
                failed(str(error))
            else:
                deliver(tuple(listing.found), left_out=listing.left_out)


def _read(body: bytes, content_type: str) -> Listing:
    if content_type != "application/json":
        raise SourceError(f"the answer is {content_type}, not application/json")
    return read_json(body)
