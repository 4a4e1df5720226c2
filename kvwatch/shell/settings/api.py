"""What the API that vLLM serves beside its metrics tells of its settings.

``/server_info`` answers only in vLLM's development mode and ``/v1/models`` may want a key of its own, so failures are
the normal case.
"""

from __future__ import annotations

from collections.abc import Callable

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings import settings_from_models, settings_from_server_info, version_from
from kvwatch.shell.scrape.client import Client, FetchError


def _version(body: bytes) -> Settings | None:
    version = version_from(body)
    return Settings(source=SettingSource.MODELS, version=version) if version is not None else None


_PATHS: tuple[tuple[str, Callable[[bytes], Settings | None]], ...] = (
    ("/server_info?config_format=json", settings_from_server_info),
    ("/v1/models", settings_from_models),
    ("/version", _version),
)


async def settings_of_api(client: Client) -> list[Settings]:
    """What the server's API shows now, by source; nothing where it shows nothing."""
    found: dict[SettingSource, Settings] = {}
    for path, parse in _PATHS:
        body = bytearray()
        try:
            await client.get(path, body.extend, accept="application/json")
        except FetchError:
            continue
        settings = parse(bytes(body))
        if settings is not None:
            before = found.get(settings.source)
            found[settings.source] = settings if before is None else before.over(settings)
    return list(found.values())
