"""YAML in, a frozen :class:`ValidatedConfig` out, or all faults at once with the path to each.

The raw document and the validated kind are different types, so that nothing can run on values nobody checked.
"""

from kvwatch.config.load import load_config, merge_targets, read_config
from kvwatch.config.model import (
    BasicAuth,
    EstimatesConfig,
    LogConfig,
    LogSourceConfig,
    ScrapeConfig,
    ServerConfig,
    ServerTls,
    SloConfig,
    TargetConfig,
    TargetTls,
    TracesConfig,
    ValidatedConfig,
)
from kvwatch.config.reader import ConfigError, Fault
from kvwatch.config.urls import TargetUrl, parse_listen, parse_target_url
from kvwatch.config.web import WebConfig, WebTls, load_web_config

__all__ = [
    "BasicAuth",
    "ConfigError",
    "EstimatesConfig",
    "Fault",
    "LogConfig",
    "LogSourceConfig",
    "ScrapeConfig",
    "ServerConfig",
    "ServerTls",
    "SloConfig",
    "TargetConfig",
    "TargetTls",
    "TargetUrl",
    "TracesConfig",
    "ValidatedConfig",
    "WebConfig",
    "WebTls",
    "load_config",
    "load_web_config",
    "merge_targets",
    "parse_listen",
    "parse_target_url",
    "read_config",
]
