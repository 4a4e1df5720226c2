"""Metrics on vLLM's own settings: their values, where these are from, and who is contradicted."""

from __future__ import annotations

from kvwatch.export.metric import Kind, Metric, Scope
from kvwatch.export.setting_words import SETTING_NAMES

SETTING_INFO = Metric(
    "kvwatch_setting_info",
    Scope.ENGINE,
    "1",
    "A setting of vLLM that the estimates are computed with, and where its value is from: `measured` from the metrics, "
    "said by the server (`server_info`, `log`, `process`, `exposition`, `models`) or about it (`config`, `pod`, "
    "`recording`), or vLLM's `default`.",
    kind=Kind.INFO,
    extra_labels=("setting", "value", "source"),
    values=SETTING_NAMES,
)
SETTING_REFUTED = Metric(
    "kvwatch_setting_refuted",
    Scope.ENGINE,
    "1",
    "1 for a value that a source gives for a setting and that is not used: the metrics, or what the server itself "
    "says, contradict it.",
    extra_labels=("setting", "value", "source"),
    values=SETTING_NAMES,
)
SETTING_METRICS: tuple[Metric, ...] = (SETTING_INFO, SETTING_REFUTED)
