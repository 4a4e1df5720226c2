"""Reads scheduler settings, which no metric shows, from what vLLM serves beside its metrics and from recordings.

Each function takes a body as it came and gives the settings it shows, or None where it shows none. What has the
wrong type or is no sensible size is unknown.
"""

from __future__ import annotations

import re

import msgspec

from kvwatch.facts import Settings

_MAX_BODY_BYTES = 8 << 20
_MAX_SETTING = 2**40
_MAX_VERSION = 64

_decode = msgspec.json.Decoder().decode


def settings_from_models(body: bytes, model_name: str | None = None) -> Settings | None:
    """``GET /v1/models``: the longest request, in tokens, of ``model_name``.

    Without a name, or where it is not listed, the first entry that has a length counts: the served models come
    before their LoRA adapters, which have none.
    """
    data = _get(_json(body), "data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    named = [entry for entry in entries if model_name is not None and entry.get("id") == model_name]
    lengths = (_size(entry.get("max_model_len")) for entry in named + entries)
    return _settings("/v1/models", max_model_len=next((length for length in lengths if length is not None), None))


def settings_from_server_info(body: bytes) -> Settings | None:
    """``GET /server_info?config_format=json``, which vLLM answers in its development mode only.

    Before 0.12 the configuration comes as one text, which does not show everything.
    """
    config = _get(_json(body), "vllm_config")
    if isinstance(config, str):
        return _settings(
            "/server_info",
            max_num_seqs=_in_text(config, "max_num_seqs"),
            max_num_batched_tokens=_in_text(config, "max_num_batched_tokens"),
            max_model_len=_in_text(config, "max_model_len") or _in_text(config, "max_seq_len"),
        )
    scheduler = _get(config, "scheduler_config")
    return _settings(
        "/server_info",
        max_num_seqs=_size(_get(scheduler, "max_num_seqs")),
        max_num_batched_tokens=_size(_get(scheduler, "max_num_batched_tokens")),
        max_model_len=_size(_get(_get(config, "model_config"), "max_model_len"))
        or _size(_get(scheduler, "max_model_len")),
    )


def settings_from_recording(body: bytes) -> Settings | None:
    """A recording's ``settings.json``: the three settings at its top."""
    found = _json(body)
    return _settings(
        "settings.json",
        max_num_seqs=_size(_get(found, "max_num_seqs")),
        max_num_batched_tokens=_size(_get(found, "max_num_batched_tokens")),
        max_model_len=_size(_get(found, "max_model_len")),
    )


def version_from(body: bytes) -> str | None:
    """``GET /version``: vLLM's version, such as "0.32.0"."""
    version = _get(_json(body), "version")
    return version if isinstance(version, str) and 0 < len(version) <= _MAX_VERSION and version.isprintable() else None


def _json(body: bytes) -> object:
    if len(body) > _MAX_BODY_BYTES:
        return None
    try:
        return _decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _get(found: object, name: str) -> object:
    return found.get(name) if isinstance(found, dict) else None


def _size(value: object) -> int | None:
    """A positive whole number of sensible size; JSON's true is not 1."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SETTING else None


def _in_text(text: str, name: str) -> int | None:
    """The number in ``name=123``, ``name: 123`` or ``'name': 123``."""
    match = re.search(rf"\b{name}['\"]?\s{{0,3}}[=:]\s{{0,3}}(\d{{1,12}})\b", text)
    return _size(int(match[1])) if match else None


def _settings(
    source: str,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    max_model_len: int | None = None,
) -> Settings | None:
    if max_num_seqs is None and max_num_batched_tokens is None and max_model_len is None:
        return None
    return Settings(max_num_seqs, max_num_batched_tokens, max_model_len, source)
