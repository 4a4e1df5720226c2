"""vLLM's settings in words: where a value is from, and why another one is not used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvwatch.facts import SettingSource
from kvwatch.views import SettingView

SETTING_NAMES = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
    "prefill_schedule_interval",
    "watermark",
    "async_scheduling",
    "enable_prefix_caching",
)
"""The settings that are shown, as vLLM spells them."""
SOURCE_WORDS = {
    SettingSource.SERVER_INFO: "the server's /server_info",
    SettingSource.LOG: "the server's log",
    SettingSource.PROCESS: "the server's command line",
    SettingSource.EXPOSITION: "the server's metrics",
    SettingSource.CONFIG: "kvwatch's configuration",
    SettingSource.RECORDING: "the recording's settings.json",
    SettingSource.POD: "the pod's specification",
    SettingSource.MODELS: "the server's /v1/models",
    SettingSource.MEASURED: "measured",
    SettingSource.DEFAULT: "vLLM's default",
    SettingSource.UNKNOWN: "somebody",
}
"""Where a value is from, as part of a sentence."""
_MEASURED = {
    "max_num_seqs": "requests wait while no more than {value} run and memory has room",
    "max_num_batched_tokens": "prompts wait while each step computes {value} tokens",
}


def spelled(value: float | bool) -> str:
    """A value as a label has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:d}" if isinstance(value, int) else f"{value:g}"


def setting_json(name: str, setting: SettingView) -> dict[str, Any]:
    """One setting as JSON: its value and where it is from, who is contradicted and why, and how far a default goes."""
    document: dict[str, Any] = {"value": setting.value} if setting.value is not None else {}
    document["source"] = setting.source.value
    if setting.refuted:
        document["refuted"] = [
            {"value": value, "source": source.value, "words": _refutation(name, setting, value, source)}
            for value, source in setting.refuted
        ]
    if setting.between is not None:
        document["assumed_between"] = list(setting.between)
    return document


def refutations(settings: Mapping[str, SettingView]) -> Iterator[str]:
    """What is said of settings and contradicted, in sentences."""
    for name, setting in settings.items():
        for value, source in setting.refuted:
            yield _refutation(name, setting, value, source)


def setting_doubts(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The same of the JSON document of an engine."""
    for setting in settings.values():
        for refuted in setting.get("refuted", ()):
            yield refuted["words"]


def corrections(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The same in a few words, for a line in a terminal."""
    for name, setting in settings.items():
        for refuted in setting.get("refuted", ()):
            value = f"{spelled(setting['value'])}, " if "value" in setting else ""
            yield f"{name} is {value}not {spelled(refuted['value'])} ({SOURCE_WORDS[refuted['source']]})"


def _refutation(name: str, setting: SettingView, value: float, source: SettingSource) -> str:
    return f"{SOURCE_WORDS[source]} says {name} {spelled(value)}, but {_reason(name, setting, value)}"


def _reason(name: str, setting: SettingView, value: float) -> str:
    if setting.source is SettingSource.MEASURED and setting.value is not None:
        return f"{_MEASURED[name].format(value=setting.value)}: {setting.value} is used"
    if setting.value is None or setting.source is SettingSource.DEFAULT:
        return f"more than {spelled(value)} were seen: it is not used"
    return f"{SOURCE_WORDS[setting.source]} says {spelled(setting.value)}, which is used"
