"""Learns a server's settings that no metric shows, from the API that vLLM serves beside its metrics.

Asked when the server is first seen, after each restart, and every few minutes. ``/server_info`` answers only
in vLLM's development mode and ``/v1/models`` may want a key of its own, so failures are the normal case: they
are counted and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kvwatch.facts import Settings
from kvwatch.parse.settings import settings_from_models, settings_from_server_info
from kvwatch.shell.scrape.client import Client, FetchError
from kvwatch.shell.tasks import sleep

LEAST_SECONDS = 10.0
"""Between two times. Choice: a server that flaps each second is asked a tenth as often, and one that has restarted is
asked long before the estimates need its settings."""
_SOURCES: tuple[tuple[str, Callable[[bytes], Settings | None]], ...] = (
    ("/server_info?config_format=json", settings_from_server_info),
    ("/v1/models", settings_from_models),
)
"""Where to look, the source that knows most first."""


async def discover(client: Client) -> Settings | None:
    """The settings that the server's API shows now, or None where it shows none."""
    found: Settings | None = None
    for path, parse in _SOURCES:
        body = bytearray()
        try:
            await client.get(path, body.extend, accept="application/json")
        except FetchError:
            continue
        settings = parse(bytes(body))
        if settings is not None:
            found = settings if found is None else found.over(settings)
    return found


async def keep_discovering(
    client: Client,
    fresh: asyncio.Event,
    interval_seconds: float,
    deliver: Callable[[Settings | None], None],
) -> None:
    """Discover whenever ``fresh`` is set, and every ``interval_seconds`` after that, for ever.

    A server that comes and goes is not asked more often than every :data:`LEAST_SECONDS`.
    """
    await fresh.wait()
    while True:
        fresh.clear()
        deliver(await discover(client))
        least = min(LEAST_SECONDS, interval_seconds)
        await sleep(least)
        await sleep(interval_seconds - least, wake=fresh)
