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
    """One setting as JSON: its value, where it is from, and in sentences what is doubtful about it."""
    document: dict[str, Any] = {"value": setting.value, "source": setting.source.value}
    if setting.value is None:
        del document["value"]
    if setting.refuted:
        document["refuted"] = [{"value": value, "source": source.value} for value, source in setting.refuted]
    words = list(_doubts(name, setting))
    if words:
        document["words"] = words
    return document


def refutations(settings: Mapping[str, SettingView]) -> Iterator[str]:
    """What is said of settings and contradicted, in sentences."""
    for name, setting in settings.items():
        yield from _refutations(name, setting)


def _refutations(name: str, setting: SettingView) -> Iterator[str]:
    for value, source in setting.refuted:
        yield f"{SOURCE_WORDS[source]} says {name} {spelled(value)}, but {_reason(name, setting, value)}"


def _doubts(name: str, setting: SettingView) -> Iterator[str]:
    yield from _refutations(name, setting)
    if setting.between is not None:
        low, high = setting.between
        between = f" (between {low} and {high}, depending on the device)" if low != high else ""
        yield f"nothing shows {name}: vLLM's default, {setting.value}{between}, is assumed"


def _reason(name: str, setting: SettingView, value: float) -> str:
    if setting.source is SettingSource.MEASURED and setting.value is not None:
        return f"{_MEASURED[name].format(value=setting.value)}: {setting.value} is used"
    if setting.value is None or setting.source is SettingSource.DEFAULT:
        return f"more than {spelled(value)} were seen: it is not used"
    return f"{SOURCE_WORDS[setting.source]} says {spelled(setting.value)}, which is used"


def setting_doubts(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The sentences of all settings in a JSON document of an engine."""
    for setting in settings.values():
        yield from setting.get("words", ())
