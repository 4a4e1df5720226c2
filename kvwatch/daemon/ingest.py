"""How requests reach kvwatch besides scrapes, made from the configuration: logs to follow, and a receiver of traces."""

from __future__ import annotations

from collections.abc import Callable

from kvwatch.config import ConfigError, Fault, LogSourceConfig, TracesConfig, ValidatedConfig
from kvwatch.parse.logs import FieldMap, LogFormat, spelled
from kvwatch.parse.otlp.spans import AttributeKeys
from kvwatch.parse.tenant import TenantName, tenant_namer
from kvwatch.shell.access.policy import WebPolicy
from kvwatch.shell.intake import Intake
from kvwatch.shell.lookups import Lookups
from kvwatch.shell.otlp import MissingExtraError, TraceReceiver, TraceSettings
from kvwatch.shell.otlp.limits import SeenSpans
from kvwatch.shell.selfmetrics import SelfMetrics
from kvwatch.shell.tail import SourceSettings, utc_offset


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


def trace_receiver(  # noqa: PLR0913, PLR0917 - each is one thing that it works with
    config: ValidatedConfig,
    intake: Intake,
    metrics: SelfMetrics,
    clock: Callable[[], float],
    seen: SeenSpans,
    lookups: Lookups,
    policy: Callable[[], WebPolicy],
) -> TraceReceiver | None:
    """The receiver of traces, where it is switched on.

    Raises:
        ConfigError: gRPC is asked for and is not installed, or a key cannot be read.
    """
    traces = config.traces
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
    )
    try:
        return TraceReceiver(intake, metrics, settings, clock, seen, lookups, policy)
    except MissingExtraError as error:
        raise ConfigError([Fault("traces.grpc_listen", str(error))]) from None


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
