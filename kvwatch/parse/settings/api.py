"""What vLLM's API tells of its settings, beside its metrics.

Each function takes a body as it came and gives the settings it shows, or None where it shows none. What has the
wrong type or is no sensible size is unknown.
"""

from __future__ import annotations

import re

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.json import get, of_json
from kvwatch.parse.settings.sizes import share_in, size, truth_in

_MAX_VERSION = 64


def settings_from_models(body: bytes, model_name: str | None = None) -> Settings | None:
    """``GET /v1/models``: the longest request, in tokens, of ``model_name``.

    Without a name, or where it is not listed, the first entry that has a length counts: the served models come
    before their LoRA adapters, which have none.
    """
    data = get(of_json(body), "data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    named = [entry for entry in entries if model_name is not None and entry.get("id") == model_name]
    lengths = (size(entry.get("max_model_len")) for entry in named + entries)
    length = next((length for length in lengths if length is not None), None)
    return Settings(max_model_len=length, source=SettingSource.MODELS) if length is not None else None


def settings_from_server_info(body: bytes) -> Settings | None:
    """``GET /server_info?config_format=json``, which vLLM answers in its development mode only, and SGLang always.

    Before 0.12 the configuration comes as one text, which does not show everything.
    """
    answer = of_json(body)
    config = get(answer, "vllm_config")
    if get(answer, "internal_states") is not None:
        found = _of_sglang(answer)
    elif isinstance(config, str):
        found = Settings(
            max_num_seqs=_in_text(config, "max_num_seqs"),
            max_num_batched_tokens=_in_text(config, "max_num_batched_tokens"),
            max_model_len=_in_text(config, "max_model_len") or _in_text(config, "max_seq_len"),
        )
    else:
        scheduler, cache = get(config, "scheduler_config"), get(config, "cache_config")
        found = Settings(
            max_num_seqs=size(get(scheduler, "max_num_seqs")),
            max_num_batched_tokens=size(get(scheduler, "max_num_scheduled_tokens"))
            or size(get(scheduler, "max_num_batched_tokens")),
            max_model_len=size(get(get(config, "model_config"), "max_model_len"))
            or size(get(scheduler, "max_model_len")),
            prefill_schedule_interval=size(get(scheduler, "prefill_schedule_interval")),
            watermark_ratio=share_in(get(scheduler, "watermark")),
            async_scheduling=truth_in(get(scheduler, "async_scheduling")),
            enable_prefix_caching=truth_in(get(cache, "enable_prefix_caching")),
        )
    return None if found == Settings() else found.over(Settings(source=SettingSource.SERVER_INFO))


def _of_sglang(answer: object) -> Settings:
    """SGLang answers at the same address to everybody: its arguments, and the state of each of its schedulers."""
    states = get(answer, "internal_states")
    first = states[0] if isinstance(states, list) and states else None
    return Settings(
        max_num_seqs=size(get(first, "effective_max_running_requests_per_dp"))
        or size(get(answer, "max_running_requests")),
        max_num_batched_tokens=size(get(answer, "chunked_prefill_size")),
        max_model_len=size(get(answer, "context_length")),
    )


def version_from(body: bytes) -> str | None:
    """``GET /version``: vLLM's version, such as "0.32.0"."""
    version = get(of_json(body), "version")
    return version if isinstance(version, str) and 0 < len(version) <= _MAX_VERSION and version.isprintable() else None


def _in_text(text: str, name: str) -> int | None:
    """The number in ``name=123``, ``name: 123`` or ``'name': 123``."""
    match = re.search(rf"\b{name}['\"]?\s{{0,3}}[=:]\s{{0,3}}(\d{{1,12}})\b", text)
    return size(int(match[1])) if match else None
