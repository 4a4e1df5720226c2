"""Looks for a target's settings whenever the server behind it may be another, and every few minutes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.logging import event
from kvwatch.shell.scrape.client import Client, Target
from kvwatch.shell.settings.api import settings_of_api
from kvwatch.shell.settings.local import local_port
from kvwatch.shell.settings.own_pod import OwnPodLook
from kvwatch.shell.settings.process import listener_on
from kvwatch.shell.tasks import sleep
from kvwatch.shell.threads import in_daemon_thread

LEAST_SECONDS = 10.0
"""Between two times. Choice: a server that flaps each second is asked a tenth as often, and one that has restarted is
asked long before the estimates need its settings."""

Look = Callable[[], Awaitable[Iterable[Settings]]]
"""Looks once; each source that can be seen is among what it returns, one that says nothing with nothing known."""


def looks(client: Client, target: Target) -> Sequence[Look]:
    """Where to look for the settings of the server that a target is."""
    found: list[Look] = [partial(settings_of_api, client)]
    port = local_port(target.base_url)
    if port is not None and target.look_at_process:
        found.append(ProcessLook(target.name, port).look)
    if port is not None and target.look_at_pod and (pod := OwnPodLook(target.name, port)).possible:
        found.append(pod.look)
    return found


class ProcessLook:
    """Looks at the process behind a port of this host; says once where there is one that it cannot see."""

    def __init__(self, target: str, port: int) -> None:
        self._target, self._port = target, port
        self._said = False

    async def look(self) -> Iterable[Settings]:
        """The settings on its command line."""
        listener = await in_daemon_thread(partial(listener_on, self._port), "kvwatch-process")
        if listener is not None and listener.settings is None and not self._said:
            self._said = True
            event(logging.INFO, "server_process_not_visible", target=self._target, port=self._port)
        known = listener.settings if listener is not None else None
        return [known if known is not None else Settings(source=SettingSource.PROCESS)]


async def look(looks: Iterable[Look]) -> list[Settings]:
    """What all of them find, one after another."""
    return [settings for one in looks for settings in await one()]


async def keep_looking(
    looks: Sequence[Look],
    fresh: asyncio.Event,
    interval_seconds: float,
    deliver: Callable[[list[Settings]], None],
) -> None:
    """Look whenever ``fresh`` is set, and every ``interval_seconds`` after that, for ever.

    A server that comes and goes is not asked more often than every :data:`LEAST_SECONDS`.
    """
    await fresh.wait()
    while True:
        fresh.clear()
        deliver(await look(looks))
        least = min(LEAST_SECONDS, interval_seconds)
        await sleep(least)
        await sleep(interval_seconds - least, wake=fresh)
