"""``kvwatch status``: what a running kvwatch says, or what some seconds of a vLLM's own metrics say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from kvwatch.config import TargetConfig, ValidatedConfig
from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.core.target_health import NO_METRICS
from kvwatch.daemon.parts import configured_settings, scrape_target
from kvwatch.export.json_api import fleet_json
from kvwatch.facts import Scrape
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.clock import SteadyClock
from kvwatch.shell.intake import Intake
from kvwatch.shell.model_refresh import keep_refreshing
from kvwatch.shell.scrape.client import Client, FetchError, new_session
from kvwatch.shell.scrape.scraper import Scraper
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.settings.looking import look, looks
from kvwatch.shell.tasks import stop_all
from kvwatch.views import FleetView

INTERVAL_SECONDS = 0.5
"""Time between two scrapes of a vLLM [s]. Choice: twenty in ten seconds, at a cost that no server feels."""
AGAIN_SECONDS = 2.0
"""Time between two looks [s]. Choice: as on the page."""
_STOP_SECONDS = 0.5
"""Longest wait for tasks to end [s]. Choice: a scrape of a server that is there."""
_ENGINES = "/api/v1/engines"


class LookError(Exception):
    """There is nothing to be seen at an address; the message says why."""


async def documents(
    target: TargetConfig, config: ValidatedConfig, seconds: float
) -> AsyncGenerator[dict[str, Any], None]:
    """The documents of ``/api/v1/engines``, again and again: a running kvwatch's, or made here of a vLLM's metrics.

    A vLLM is watched for ``seconds`` before the first.

    Raises:
        LookError: neither is there.
    """
    async with new_session() as session:
        client = Client(session, scrape_target(target, config))
        document = await _of_kvwatch(client)
        if document is None:
            async for document in _of_vllm(client, target, config, seconds):
                yield document
        while document is not None:
            yield document
            await asyncio.sleep(AGAIN_SECONDS)
            document = await _of_kvwatch(client)
        raise LookError("it does not answer any more")


async def _of_kvwatch(client: Client) -> dict[str, Any] | None:
    """What a kvwatch answers; ``None`` where none is there."""
    body = bytearray()
    try:
        await client.get(_ENGINES, body.extend, accept="application/json")
        document = orjson.loads(body)
    except (FetchError, orjson.JSONDecodeError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("engines"), list) else None


async def watched(target: TargetConfig, config: ValidatedConfig, seconds: float) -> tuple[Fleet, FleetView]:
    """What the estimates know of a vLLM after some seconds, and the view of it.

    Raises:
        LookError: none is there, or it does not answer any more.
    """
    async with new_session() as session:
        client = Client(session, scrape_target(target, config))
        async with _watching(client, target, config, seconds) as (fleet, clock):
            await asyncio.sleep(seconds)
            return fleet, fleet.view(clock())


async def _of_vllm(
    client: Client, target: TargetConfig, config: ValidatedConfig, seconds: float
) -> AsyncGenerator[dict[str, Any], None]:
    """What the estimates make of a vLLM's metrics within some seconds, and after that for as long as it is asked."""
    async with _watching(client, target, config, seconds) as (fleet, clock):
        await asyncio.sleep(seconds)
        while True:
            yield fleet_json(fleet.view(clock()), targets=True)
            await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def _watching(
    client: Client, target: TargetConfig, config: ValidatedConfig, seconds: float
) -> AsyncIterator[tuple[Fleet, SteadyClock]]:
    """A fleet of one vLLM that is read all the while; λ is over the better part of ``seconds``."""
    clock = SteadyClock(time.time, time.monotonic)
    window = 0.8 * seconds
    options = CoreOptions(windows_seconds={f"{window:g}s": window}, scrape_interval_seconds=INTERVAL_SECONDS)
    fleet = Fleet(options)
    intake = Intake(fleet, SelfMetrics())
    intake.add(target.name, configured_settings(target))
    scraper = Scraper(
        scrape_target(target, config), client, clock=clock, reader=ExpositionReader(), deliver=intake.observe
    )
    first = await scraper.scrape()
    if not isinstance(first, Scrape):
        raise LookError(f"{first.reason}: {first.detail}")
    if not first.engines:
        raise LookError(first.refusal or f"it is no kvwatch, and {NO_METRICS}")
    intake.observe(target.name, first)
    for settings in await look(looks(client, scrape_target(target, config))):
        intake.reported(target.name, settings)
    tasks = [asyncio.create_task(scraper.run()), asyncio.create_task(keep_refreshing(intake, clock))]
    try:
        yield fleet, clock
    finally:
        await stop_all(tasks, within=_STOP_SECONDS)
