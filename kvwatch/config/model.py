"""What a configuration is once it has been checked.

Times are seconds and sizes bytes. Secrets are held as paths to the files that hold them, never as values, so
that no repr, log line or error can show one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kvwatch.facts import Settings


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Certificate and key of kvwatch's own endpoint (PEM files)."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where kvwatch listens, and how it is guarded; an empty ``host`` is every interface."""

    host: str = ""
    port: int = 9718
    tls: ServerTls | None = None
    web_config_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ScrapeConfig:
    """How targets are read."""

    interval_seconds: float = 1.0
    timeout_seconds: float = 5.0
    max_body_bytes: int = 16 * 1024 * 1024
    discovery_interval_seconds: float = 300.0
    process_settings: bool = True
    pod_settings: bool = True


@dataclass(frozen=True, slots=True)
class EstimatesConfig:
    """What the core is told; ``windows_seconds`` maps the label, as the user wrote it, to its length."""

    windows_seconds: Mapping[str, float] = field(default_factory=lambda: {"1m": 60.0, "5m": 300.0})
    trim_ratio: float = 0.05
    target_utilization: float = 0.8
    demand_window_seconds: float = 120.0
    scale_up_seconds: float = 600.0
    top_tenants: int = 20
    predicts_latency: bool = False
    state_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SloConfig:
    """What 95% of the requests shall not exceed; ``sizes_replicas``: whether replicas are sized for that too."""

    first_token_seconds: float | None = None
    wait_seconds: float | None = None
    between_seconds: float | None = None
    sizes_replicas: bool = True


@dataclass(frozen=True, slots=True)
class TracesConfig:
    """The receiver of OpenTelemetry traces.

    ``http`` and ``grpc`` are (host, port) of ports of their own; an empty host is every interface.
    """

    enabled: bool = False
    max_body_bytes: int = 4 * 1024 * 1024
    max_spans_per_second: int = 10_000
    bearer_token_file: Path | None = None
    target_attribute: str | None = None
    tenant_attribute: str | None = None
    tenant_hash: bool = False
    tenant_key_file: Path | None = None
    model_attribute: str | None = None
    http: tuple[str, int] | None = None
    grpc: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class LogConfig:
    """How kvwatch logs."""

    level: str = "info"
    format: str = "plain"


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP basic authentication; the password stays in its file."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True)
class TargetTls:
    """How a target's certificate is checked, and the certificate shown to it (PEM files)."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class LogSourceConfig:
    """Log files to follow for a target. ``fields`` and ``only`` map to paths, and to values, as the user wrote them."""

    path: str
    format: str
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tenant_hash: bool = False
    tenant_key_file: Path | None = None
    start: str = "end"
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One vLLM server to watch. ``name`` is the value of the label ``target``; ``base_url`` ends without a slash."""

    name: str
    base_url: str
    metrics_path: str = "/metrics"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    experts: float | None = None
    bearer_token_file: Path | None = None
    basic_auth: BasicAuth | None = None
    tls: TargetTls | None = None
    role: str = ""
    logs: tuple[LogSourceConfig, ...] = ()
    shown: Settings | None = None
    """What the source that has found the target shows of the server's own settings."""


@dataclass(frozen=True, slots=True)
class FoundTarget:
    """What holds of every target that a source of discovery finds."""

    scheme: str = "http"
    metrics_path: str = "/metrics"
    role: str = ""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    experts: float | None = None
    bearer_token_file: Path | None = None
    basic_auth: BasicAuth | None = None
    tls: TargetTls | None = None


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """Names to look up; ``port`` goes with addresses, an SRV record has its own."""

    names: tuple[str, ...]
    type: str = "A"
    port: int | None = None
    interval_seconds: float = 30.0
    target: FoundTarget = field(default_factory=FoundTarget)


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """Files that list targets, as globs."""

    paths: tuple[str, ...]
    interval_seconds: float = 5.0
    target: FoundTarget = field(default_factory=FoundTarget)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """An endpoint that lists targets."""

    url: str
    interval_seconds: float = 60.0
    bearer_token_file: Path | None = None
    basic_auth: BasicAuth | None = None
    tls: TargetTls | None = None
    target: FoundTarget = field(default_factory=FoundTarget)


@dataclass(frozen=True, slots=True)
class KubernetesConfig:
    """Pods of a cluster; no namespace is kvwatch's own one. ``port`` is a number or a name."""

    namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    port: str = "8000"
    role_label: str = "llm-d.ai/role"
    kubeconfig: Path | None = None
    target: FoundTarget = field(default_factory=FoundTarget)


@dataclass(frozen=True, slots=True)
class DiscoveryConfig:
    """Where targets are found while kvwatch runs; ``shard`` is (index from 0, count)."""

    max_targets: int = 1000
    shard: tuple[int, int] = (0, 1)
    dns: tuple[DnsConfig, ...] = ()
    files: tuple[FilesConfig, ...] = ()
    http: tuple[HttpConfig, ...] = ()
    kubernetes: tuple[KubernetesConfig, ...] = ()

    @property
    def finds_targets(self) -> bool:
        """Whether there is any source."""
        return bool(self.dns or self.files or self.http or self.kubernetes)


@dataclass(frozen=True, slots=True)
class ValidatedConfig:
    """Everything, checked. An empty one is what runs without a file."""

    server: ServerConfig = field(default_factory=ServerConfig)
    scrape: ScrapeConfig = field(default_factory=ScrapeConfig)
    estimates: EstimatesConfig = field(default_factory=EstimatesConfig)
    slo: SloConfig = field(default_factory=SloConfig)
    traces: TracesConfig = field(default_factory=TracesConfig)
    log: LogConfig = field(default_factory=LogConfig)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    targets: tuple[TargetConfig, ...] = ()
