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
    SloConfig,
    TargetConfig,
    TargetTls,
    TracesConfig,
    ValidatedConfig,
)
from kvwatch.config.options import ROOT
from kvwatch.config.reader import ConfigError, Fault, Faults, show
from kvwatch.config.section import Values, read_section
from kvwatch.config.urls import parse_listen, parse_target_url

_EVERY_INTERFACE = {"", "::", "0.0.0.0"}  # noqa: S104 - compared, not listened on
_THIS_MACHINE = {"127.0.0.1", "[::1]"}
"""Spellings of ``localhost`` in the name of a target."""


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
    values = read_section(load_document(content), ROOT, "", faults)
    server = values.get("server", {})
    _check_server(server, faults)
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
        slo=SloConfig(**values.get("slo", {})),
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


def _check_server(server: Values, faults: Faults) -> None:
    """Read the address, and compare what belongs together."""
    if "listen" in server:
        try:
            server["host"], server["port"] = parse_listen(server.pop("listen"))
        except ValueError as error:
            faults.append(Fault("server.listen", str(error)))
    if "tls" in server and "web_config_file" in server:
        faults.append(Fault("server", "has both tls and web_config_file; keep one of them"))


def _check_traces(traces: Values, server: Values, faults: Faults) -> None:
    """Compare what belongs together, and read the addresses of ports of their own."""
    own = ServerConfig(**{key: server[key] for key in ("host", "port") if key in server})
    taken = {"server.listen": (own.host, own.port)}
    for key, name, usual in (("listen", "http", 4318), ("grpc_listen", "grpc", 4317)):
        if key not in traces:
            continue
        place = f"traces.{key}"
        try:
            host, port = traces[name] = parse_listen(traces.pop(key))
        except ValueError as error:
            faults.append(Fault(place, str(error)))
            continue
        if not traces.get("enabled"):
            faults.append(Fault(place, "is of no use without enabled: true; add it or remove this"))
        for other, (its_host, its_port) in taken.items():
            if port == its_port != 0 and (host == its_host or _EVERY_INTERFACE & {host, its_host}):
                faults.append(Fault(place, f"port {port} is {other}'s; give another such as {usual}"))
        taken[place] = host, port
    if traces.get("tenant_hash") and "tenant_attribute" not in traces:
        faults.append(Fault("traces.tenant_hash", "is of no use without tenant_attribute; name the attribute"))
    if "tenant_key_file" in traces and not traces.get("tenant_hash"):
        faults.append(Fault("traces.tenant_key_file", "is of no use without tenant_hash: true"))


def _build(kind: type[Any], values: Values | None) -> Any:  # noqa: ANN401 - one of the dataclasses of the model
    return None if values is None else kind(**values)


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
        server = _server(target.name)
        if server in first:
            where = first[server]
            faults.append(Fault(path, f'"{target.name}" is already {where}; remove one, or give them different names'))
        else:
            first[server] = path


def _server(name: str) -> str:
    """The name of a target, with one spelling for this machine: one server watched twice counts as two replicas."""
    host, colon, port = name.rpartition(":")
    return f"localhost:{port}" if colon and host in _THIS_MACHINE else name
