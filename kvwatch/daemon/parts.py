"""What the parts of the daemon need, made from its configuration."""

from __future__ import annotations

from pathlib import Path

from kvwatch.config import BasicAuth, TargetConfig, TargetTls, ValidatedConfig
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.latency_curve import Slo
from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.scrape.client import Target
from kvwatch.shell.scrape.credentials import Credentials


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
        predicts_latency=estimates.predicts_latency,
        slo=Slo(config.slo.wait_seconds, config.slo.first_token_seconds, config.slo.between_seconds),
        slo_sizes_replicas=config.slo.sizes_replicas,
        whole_fleet=config.discovery.shard[1] == 1,
    )


def configured_settings(target: TargetConfig) -> Settings:
    """The settings that the user gave for a target."""
    given = (target.max_num_seqs, target.max_num_batched_tokens, target.max_model_len)
    return Settings(*given, source=SettingSource.CONFIG, expert_ratio=target.experts)


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
        look_at_process=config.scrape.process_settings,
        look_at_pod=config.scrape.pod_settings,
    )


def credentials(token: Path | None, basic: BasicAuth | None, tls: TargetTls | None) -> Credentials:
    """What the shell needs to be let in."""
    return Credentials(
        bearer_token_file=token,
        username=basic.username if basic else None,
        password_file=basic.password_file if basic else None,
        ca_file=tls.ca_file if tls else None,
        cert_file=tls.cert_file if tls else None,
        key_file=tls.key_file if tls else None,
        insecure_skip_verify=tls.insecure_skip_verify if tls else False,
    )
