"""What a source of discovery has found, as a target of the configuration."""

from __future__ import annotations

from typing import Any

from kvwatch.config import TargetConfig, parse_target_url
from kvwatch.config.model import FoundTarget
from kvwatch.shell.discovery import Found
from kvwatch.shell.discovery.shards import stable_hash

_MOST_NAME_CHARACTERS = 200
"""Of a name in a label. Choice: Kubernetes allows 253 for a pod's name, and a label is repeated in every series."""
_SETTINGS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len")
_MOST_TOKENS = 2**31 - 1
"""Largest setting that is believed. Choice: the limit that the configuration file has for the same keys."""


def target_config(found: Found, template: FoundTarget) -> TargetConfig:
    """A found target as the configuration would have it; what the source says of it wins over ``template``.

    Raises:
        ValueError: its address, or something that is said of it, cannot be.
    """
    labels = dict(found.labels)
    scheme = labels.get("__scheme__", template.scheme)
    secret = template.bearer_token_file or template.basic_auth or template.tls
    if secret and template.scheme == "https" and scheme != "https":
        raise ValueError("the source asks for http, and the credentials are for https")
    url = parse_target_url(f"{scheme}://{found.address}")
    if url.base_url != f"{scheme}://{url.host_port}":
        raise ValueError(f'"{found.address[:100]}" is not host:port')
    path = labels.get("__metrics_path__", template.metrics_path)
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError(f'metrics path "{path[:100]}" must begin with "/"')
    role = labels.get("role", template.role)
    if role not in ("", "prefill", "decode"):
        raise ValueError(f'role "{role[:100]}" is neither prefill nor decode')
    settings: dict[str, Any] = {
        name: _tokens(labels[name]) if name in labels else getattr(template, name) for name in _SETTINGS
    }
    return TargetConfig(
        name=clean_name(found.name if found.name != found.address else url.host_port),
        base_url=url.base_url,
        metrics_path=path,
        bearer_token_file=template.bearer_token_file,
        basic_auth=template.basic_auth,
        tls=template.tls if url.https else None,
        role=role,
        experts=template.experts,
        shown=found.settings,
        **settings,
    )


def clean_name(name: str) -> str:
    """A name as a label may have it: printable, on one line, and cut where it is long, but still a name of its own."""
    clean = "".join(c if c.isprintable() else "_" for c in name)
    if clean == name and len(clean) <= _MOST_NAME_CHARACTERS:
        return clean
    return f"{clean[:_MOST_NAME_CHARACTERS]}~{stable_hash(name):016x}"


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:20]) <= _MOST_TOKENS:
        raise ValueError(f'"{text[:100]}" is not a number of requests or tokens')
    return int(text)
