"""What the parts of the daemon need, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from kvwatch.config import (
    ConfigError,
    Fault,
    LogSourceConfig,
    ServerConfig,
    TargetConfig,
    TracesConfig,
    ValidatedConfig,
)
from kvwatch.core.options import CoreOptions
from kvwatch.discovering import credentials
from kvwatch.facts import Settings
from kvwatch.parse.logs import FieldMap, LogFormat, spelled
from kvwatch.parse.otlp import AttributeKeys
from kvwatch.parse.tenant import TenantName, tenant_namer
from kvwatch.shell.certificate import OwnCertificate
from kvwatch.shell.client import Target
from kvwatch.shell.intake import Intake
from kvwatch.shell.otlp import MissingExtraError, TraceReceiver, TraceSettings
from kvwatch.shell.otlp_limits import SeenSpans
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.tail import SourceSettings, utc_offset


def core_options(config: ValidatedConfig) -> CoreOptions:
    """What the core needs of the configuration."""
    estimates = config.estimates
    return CoreOptions(
        windows_seconds=estimates.windows_seconds,
        trim_ratio=estimates.trim_ratio,
        target_utilization=estimates.target_utilization,
        scale_up_seconds=estimates.scale_up_seconds,
        scrape_interval_seconds=config.scrape.interval_seconds,
        demand_window_seconds=estimates.demand_window_seconds,
        top_tenants=estimates.top_tenants,
        whole_fleet=config.discovery.shard[1] == 1,
    )


def configured_settings(target: TargetConfig) -> Settings:
    """The settings that the user gave for a target."""
    given = (target.max_num_seqs, target.max_num_batched_tokens, target.max_model_len)
    return Settings(*given, source="unknown" if given == (None, None, None) else "config")


def log_sources(config: ValidatedConfig) -> dict[str, tuple[SourceSettings, ...]]:
    """The logs to follow, by target.

    Raises:
        ConfigError: a key for tenants' hashes cannot be read.
    """
    faults: list[Fault] = []
    sources: dict[str, tuple[SourceSettings, ...]] = {}
    for target in config.targets:
        made = [_log_source(log, f"{target.name}.logs[{index}]", faults) for index, log in enumerate(target.logs)]
        sources[target.name] = tuple(source for source in made if source is not None)
    if faults:
        raise ConfigError(faults)
    return sources


def _tenant_name(source: LogSourceConfig | TracesConfig, place: str, faults: list[Fault]) -> TenantName | None:
    """How a source's tenants are named; ``None``, and a fault, where the key for their hashes cannot be had."""
    key, file = None, source.tenant_key_file
    if file is not None:
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            faults.append(Fault(f"{place}.tenant_key_file", f"cannot read {file}: {error.strerror}"))
            return None
        if not key:
            faults.append(Fault(f"{place}.tenant_key_file", f"{file} is empty; put a random key in it"))
            return None
    return tenant_namer(hashed=source.tenant_hash, key=key)


def _log_source(log: LogSourceConfig, place: str, faults: list[Fault]) -> SourceSettings | None:
    tenant_name = _tenant_name(log, place, faults)
    if tenant_name is None:
        return None
    fields = FieldMap(
        {quantity: tuple(path for text in texts for path in spelled(text)) for quantity, texts in log.fields.items()},
        {path: frozenset(values) for text, values in log.only.items() for path in spelled(text)[:1]},
    )
    log_format = LogFormat(log.format, fields, tenant_name)
    return SourceSettings(log.path, log_format, log.start == "beginning", utc_offset(log.time_zone))


def scrape_target(target: TargetConfig, config: ValidatedConfig) -> Target:
    """What the shell needs to read a target."""
    return Target(
        name=target.name,
        base_url=target.base_url,
        metrics_path=target.metrics_path,
        credentials=credentials(target.bearer_token_file, target.basic_auth, target.tls),
        interval_seconds=config.scrape.interval_seconds,
        discovery_interval_seconds=config.scrape.discovery_interval_seconds,
        timeout_seconds=config.scrape.timeout_seconds,
        max_body_bytes=config.scrape.max_body_bytes,
    )


def trace_receiver(
    config: ValidatedConfig, intake: Intake, metrics: SelfMetrics, clock: Callable[[], float], seen: SeenSpans
) -> TraceReceiver | None:
    """The receiver of traces, where it is switched on.

    Raises:
        ConfigError: gRPC is asked for and is not installed, or its certificate or a key cannot be read.
    """
    traces, tls = config.traces, config.server.tls
    if not traces.enabled:
        return None
    faults: list[Fault] = []
    tenant_name = _tenant_name(traces, "traces", faults)
    if tenant_name is None:
        raise ConfigError(faults)
    settings = TraceSettings(
        AttributeKeys(traces.target_attribute, traces.tenant_attribute, traces.model_attribute, tenant_name),
        traces.max_body_bytes,
        traces.max_spans_per_second,
        traces.bearer_token_file,
        traces.grpc,
        (tls.key_file, tls.cert_file) if tls else None,
    )
    try:
        return TraceReceiver(intake, metrics, settings, clock, seen)
    except (MissingExtraError, OSError) as error:
        raise ConfigError([Fault("traces.grpc_listen", str(error))]) from None


def server_certificate(server: ServerConfig) -> OwnCertificate | None:
    """What kvwatch's own port is served with; ``None`` without TLS.

    Raises:
        ConfigError: the certificate or its key cannot be used.
    """
    if server.tls is None:
        return None
    try:
        return OwnCertificate(server.tls.cert_file, server.tls.key_file)
    except OSError as error:
        raise ConfigError([Fault("server.tls", f"cannot use the files: {error.strerror or error}")]) from None
