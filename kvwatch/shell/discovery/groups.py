"""Prometheus's list of target groups, as its file_sd and http_sd have it: JSON or YAML in, targets out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from kvwatch.shell.discovery.found import LABELS, Found, SourceError

MAX_BYTES = 16 * 1024**2
MAX_YAML_BYTES = 1024**2
"""YAML takes seconds for each of these, and a hundred times its size in memory while it is read."""
MOST_TARGETS = 100_000
"""Of one document, and of one source."""
_MAX_LABEL_CHARACTERS = 512


@dataclass(frozen=True, slots=True)
class Listing:
    """What a document lists: the first :data:`MOST_TARGETS` targets, and how many come after them."""

    found: list[Found]
    left_out: int = 0


class _Group(msgspec.Struct):
    targets: list[str]
    labels: dict[str, str] = {}


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases: a few bytes of them can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - the library's own signature
        if self.check_event(yaml.AliasEvent):
            raise SourceError("YAML aliases are not taken here")
        return super().compose_node(parent, index)


def read_json(content: bytes) -> Listing:
    """Targets of a JSON document.

    Raises:
        SourceError: it is none, or not a list of target groups.
    """
    try:
        return _targets(msgspec.json.decode(content, type=list[_Group]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError(f"not a list of target groups: {error}") from None


def read_yaml(content: bytes) -> Listing:
    """Targets of a YAML document; an empty one has none.

    Raises:
        SourceError: it is none, or not a list of target groups, or longer than YAML is read.
    """
    if len(content) > MAX_YAML_BYTES:
        raise SourceError(f"longer than {MAX_YAML_BYTES} bytes of YAML; write it as .json, which may have {MAX_BYTES}")
    try:
        document = yaml.load(content, _Loader)  # noqa: S506 - derived from the safe loader
        return _targets(msgspec.convert(document if document is not None else [], type=list[_Group]))
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SourceError(f"not a list of target groups: {' '.join(str(error).split())[:200]}") from None


def _targets(groups: list[_Group]) -> Listing:
    found: list[Found] = []
    for group in groups:
        labels = tuple((k, group.labels[k][:_MAX_LABEL_CHARACTERS]) for k in LABELS if k in group.labels)
        addresses = group.targets[: MOST_TARGETS - len(found)]
        found += [Found(address, group.labels.get("instance", address), labels) for address in addresses]
    return Listing(found, sum(len(group.targets) for group in groups) - len(found))
