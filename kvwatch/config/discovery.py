"""Readers and checks for ``discovery``: where targets are found while kvwatch runs."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from kvwatch.config.model import (
    BasicAuth,
    DiscoveryConfig,
    DnsConfig,
    FilesConfig,
    FoundTarget,
    HttpConfig,
    KubernetesConfig,
    TargetTls,
)
from kvwatch.config.reader import Fault, Faults, show
from kvwatch.config.urls import check_endpoint

Source = TypeVar("Source", DnsConfig, FilesConfig, HttpConfig, KubernetesConfig)

_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
_PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_MOST_SHARDS = 10_000


def shard(value: object, path: str, faults: Faults) -> tuple[int, int] | None:
    """(index, count) from text such as "2/8"."""
    match = _SHARD.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        faults.append(Fault(path, f'expected text such as "2/8", got {show(value)}'))
        return None
    index, count = int(match[1]), int(match[2])
    if not 1 <= count <= _MOST_SHARDS or index >= count:
        faults.append(Fault(path, f'"{value}" is no shard: indices run from 0, so 8 shards are 0/8 to 7/8'))
        return None
    return index, count


def port(value: object, path: str, faults: Faults) -> str | None:
    """A port's number or its name."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(found, str) and _PORT_NAME.fullmatch(found) and (not found.isdecimal() or 1 <= int(found) <= 65535):
        return found
    faults.append(Fault(path, f"{show(value)} is no port; give a number up to 65535 or the name of a port"))
    return None


def discovery(values: dict[str, Any], faults: Faults) -> DiscoveryConfig:
    """The section, once what belongs together has been compared."""
    return DiscoveryConfig(
        **{key: value for key, value in values.items() if key in ("max_targets", "shard")},
        dns=_sources(DnsConfig, values.get("dns", []), faults),
        files=_sources(FilesConfig, values.get("files", []), faults),
        http=_sources(HttpConfig, values.get("http", []), faults),
        kubernetes=_sources(KubernetesConfig, values.get("kubernetes", []), faults),
    )


def _sources(kind: type[Source], items: list[tuple[str, dict[str, Any] | None]], faults: Faults) -> tuple[Source, ...]:
    return tuple(_source(kind, values, path, faults) for path, values in items if values is not None)


def _source(kind: type[Source], values: dict[str, Any], path: str, faults: Faults) -> Source:
    target = _with_credentials(values.pop("target", {}), f"{path}.target", faults)
    if target.get("tls") is not None and target.get("scheme") != "https":
        faults.append(Fault(f"{path}.target.tls", "the scheme is http; add scheme: https, or remove tls"))
    if kind is HttpConfig:
        try:
            check_endpoint(values["url"])
        except ValueError as error:
            faults.append(Fault(f"{path}.url", str(error)))
        values = _with_credentials(values, path, faults)
    if kind is DnsConfig and values.get("type") == "SRV" and "port" in values:
        faults.append(Fault(f"{path}.port", "an SRV record has its own port; remove it"))
    return kind(**values, target=FoundTarget(**target))


def _with_credentials(values: dict[str, Any], path: str, faults: Faults) -> dict[str, Any]:
    basic, tls = values.get("basic_auth"), values.get("tls")
    if basic is not None and "bearer_token_file" in values:
        faults.append(Fault(path, "has both basic_auth and bearer_token_file; keep one of them"))
    if tls is not None and ("cert_file" in tls) != ("key_file" in tls):
        faults.append(Fault(f"{path}.tls", "cert_file and key_file belong together; give both or none"))
    if not values.get("metrics_path", "/").startswith("/") or not values.get("metrics_path", "/").isascii():
        faults.append(Fault(f"{path}.metrics_path", 'must begin with "/"'))
    built = dict(values)
    if basic is not None:
        built["basic_auth"] = BasicAuth(**basic)
    if tls is not None:
        built["tls"] = TargetTls(**tls)
    return built
