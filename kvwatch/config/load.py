"""Plain data → :class:`ValidatedConfig`, following the table of options."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kvwatch.config.discovery import discovery
from kvwatch.config.document import MAX_FILE_BYTES, load_document
from kvwatch.config.log_sources import log_sources
from kvwatch.config.model import (
    BasicAuth,
    EstimatesConfig,
    LogConfig,
    ScrapeConfig,
    ServerConfig,
    ServerTls,
    TargetConfig,
    TargetTls,
    TracesConfig,
    ValidatedConfig,
)
from kvwatch.config.option import Section
from kvwatch.config.options import ROOT, SECRETS
from kvwatch.config.reader import ConfigError, Fault, Faults, show, suggest
from kvwatch.config.urls import parse_listen, parse_target_url

MAX_TARGETS = 10_000
_EVERY_INTERFACE = {"", "::", "0.0.0.0"}  # noqa: S104 - compared, not listened on

Values = dict[str, Any]
"""Checked values by field name; missing where the file leaves the default."""


def load_config(path: Path) -> ValidatedConfig:
    """Read and check a file.

    Raises:
        ConfigError: every fault in it, or why it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Fault("", f"cannot read the file: {error.strerror}")]) from None
    return read_config(content)


def read_config(content: bytes) -> ValidatedConfig:
    """Check the content of a file.

    Raises:
        ConfigError: every fault in it.
    """
    faults: Faults = []
    values = _read_section(load_document(content), ROOT, "", faults)
    server = values.get("server", {})
    if "listen" in server:
        try:
            server["host"], server["port"] = parse_listen(server.pop("listen"))
        except ValueError as error:
            faults.append(Fault("server.listen", str(error)))
    traces = values.get("traces", {})
    _check_traces(traces, server, faults)
    discovered = discovery(values.get("discovery", {}), faults)
    targets = [_target(target, path, faults) for path, target in values.get("targets", ())]
    known = [(path, target) for path, target in targets if target is not None]
    _refuse_duplicates(known, faults)
    if faults:
        raise ConfigError(faults)
    return ValidatedConfig(
        server=ServerConfig(**{**server, "tls": _build(ServerTls, server.get("tls"))}),
        scrape=ScrapeConfig(**values.get("scrape", {})),
        estimates=EstimatesConfig(**values.get("estimates", {})),
        traces=TracesConfig(**traces),
        log=LogConfig(**values.get("log", {})),
        discovery=discovered,
        targets=tuple(target for _, target in known),
    )


def merge_targets(config: ValidatedConfig, more: Iterable[TargetConfig]) -> tuple[TargetConfig, ...]:
    """The file's targets and those of the command line.

    Raises:
        ConfigError: a name appears twice.
    """
    faults: Faults = []
    together = [(f"targets[{index}]", target) for index, target in enumerate(config.targets)]
    together += [("--target", target) for target in more]
    _refuse_duplicates(together, faults)
    if faults:
        raise ConfigError(faults)
    return tuple(target for _, target in together)


def _check_traces(traces: Values, server: Values, faults: Faults) -> None:
    """Compare what belongs together, and read the address for gRPC."""
    if "grpc_listen" in traces:
        try:
            host, port = traces["grpc"] = parse_listen(traces.pop("grpc_listen"))
        except ValueError as error:
            faults.append(Fault("traces.grpc_listen", str(error)))
        else:
            own = ServerConfig(**{key: server[key] for key in ("host", "port") if key in server})
            if not traces.get("enabled"):
                faults.append(Fault("traces.grpc_listen", "is of no use without enabled: true; add it or remove this"))
            elif port == own.port != 0 and (host == own.host or _EVERY_INTERFACE & {host, own.host}):
                faults.append(Fault("traces.grpc_listen", f"port {port} is server.listen's; give another such as 4317"))
    if traces.get("tenant_hash") and "tenant_attribute" not in traces:
        faults.append(Fault("traces.tenant_hash", "is of no use without tenant_attribute; name the attribute"))
    if "tenant_key_file" in traces and not traces.get("tenant_hash"):
        faults.append(Fault("traces.tenant_key_file", "is of no use without tenant_hash: true"))


def _build(kind: type[Any], values: Values | None) -> Any:  # noqa: ANN401 - one of the dataclasses of the model
    return None if values is None else kind(**values)


def _read_section(raw: object, section: Section, path: str, faults: Faults) -> Values:
    """Values of one mapping; faults, in the file's order, for what is wrong in it."""
    if raw is None:  # a section with its keys commented out
        raw = {}
    if not isinstance(raw, dict):
        faults.append(Fault(path, f"expected keys and values, got {show(raw)}"))
        return {}
    values: Values = {}
    for key, value in raw.items():
        place = f"{path}.{key}" if path else str(key)
        entry = section.content.get(key) if isinstance(key, str) else None
        if entry is None:
            faults.append(Fault(place, _unknown(str(key), section)))
        elif isinstance(entry, Section):
            values[entry.key] = (
                _read_list(value, entry, place, faults) if entry.is_list else _read_section(value, entry, place, faults)
            )
        else:
            checked = entry.read(value, place, faults)
            if checked is not None:
                values[entry.field or entry.key] = checked
    for entry in section.content.values():
        if not isinstance(entry, Section) and entry.required and entry.key not in raw:
            faults.append(Fault(f"{path}.{entry.key}", f'is missing; add "{entry.key}: <{entry.kind}>"'))
    return values


def _read_list(raw: object, section: Section, path: str, faults: Faults) -> list[tuple[str, Values | None]]:
    """(path, values) of each item; None in place of one that has a fault."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        faults.append(Fault(path, f'expected a list, each item beginning with "- ", got {show(raw)}'))
        return []
    if len(raw) > MAX_TARGETS:
        faults.append(Fault(path, f"{len(raw)} items are more than {MAX_TARGETS}; split them over several processes"))
        return []
    items: list[tuple[str, Values | None]] = []
    for index, item in enumerate(raw):
        place = f"{path}[{index}]"
        before = len(faults)
        values = _read_section(item, section, place, faults)
        items.append((place, values if len(faults) == before else None))
    return items


def _unknown(key: str, section: Section) -> str:
    instead = SECRETS.get(key.lower())
    if instead is not None and instead in section.content:
        return f"unknown key; secrets are read from files: use {instead}"
    return f"unknown key; {suggest(key, section.content)}"


def _target(values: Values | None, path: str, faults: Faults) -> tuple[str, TargetConfig | None]:
    if values is None:
        return path, None
    before = len(faults)
    url = None
    try:
        url = parse_target_url(values.pop("url"))
    except ValueError as error:
        faults.append(Fault(f"{path}.url", str(error)))
    if not values.get("metrics_path", "/").startswith("/") or not values.get("metrics_path", "/").isascii():
        faults.append(Fault(f"{path}.metrics_path", f'{show(values["metrics_path"])} must begin with "/"'))
    if "basic_auth" in values and "bearer_token_file" in values:
        faults.append(Fault(path, "has both basic_auth and bearer_token_file; keep one of them"))
    tls = values.get("tls", {})
    if ("cert_file" in tls) != ("key_file" in tls):
        faults.append(Fault(f"{path}.tls", "cert_file and key_file belong together; give both or none"))
    if tls and url is not None and not url.https:
        faults.append(Fault(f"{path}.tls", "the url is http; write https:// or remove tls"))
    values["logs"] = log_sources(values.get("logs", []), faults)
    if url is None or len(faults) > before:
        return path, None
    values["name"] = values.get("name", url.host_port)
    values["basic_auth"] = _build(BasicAuth, values.get("basic_auth"))
    values["tls"] = _build(TargetTls, values.get("tls"))
    return path, TargetConfig(base_url=url.base_url, **values)


def _refuse_duplicates(targets: Iterable[tuple[str, TargetConfig]], faults: Faults) -> None:
    first: dict[str, str] = {}
    for path, target in targets:
        if target.name in first:
            where = first[target.name]
            faults.append(Fault(path, f'"{target.name}" is already {where}; remove one, or tell them apart by name'))
        else:
            first[target.name] = path
