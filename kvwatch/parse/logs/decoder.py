"""Makes a decoder for the fields that are wanted of a JSON line, and a getter of their values.

msgspec skips whatever a type does not name, prompts above all, without making objects of it. So the type is made to
measure: a struct that has the wanted paths as members and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec

from kvwatch.parse.logs.fields import Path

Value = int | float | str | None
_NOTHING = "nothing"
"""A member that no line has."""


@dataclass(slots=True)
class _Node:
    """A key on the way to wanted values: whether it is one itself, and what is wanted within it."""

    wanted: bool = False
    any_kind: bool = False
    inner: dict[str, _Node] = field(default_factory=dict)


class PathDecoder:
    """Decodes lines to rows that hold the values of ``paths``; those in ``any_kind`` may be lists and so on too.

    Whatever else is neither a number nor text raises ValidationError.
    """

    def __init__(self, paths: tuple[Path, ...], any_kind: frozenset[Path] = frozenset()) -> None:
        root = _Node()
        for path in paths:
            node = root
            for key in path:
                node = node.inner.setdefault(key, _Node())
            node.wanted, node.any_kind = True, path in any_kind
        decoder = msgspec.json.Decoder(_struct(root, "Line"))
        self.decode: Callable[[bytes], Any] = decoder.decode
        self.decode_lines: Callable[[bytes], list[Any]] = decoder.decode_lines
        self._attributes = {path: _attributes(root, path) for path in paths}

    def getter(self, paths: tuple[Path | None, ...]) -> Callable[[Any], Any]:
        """A function from a row to the values of two or more paths, ``None`` for no path.

        It raises AttributeError where an outer key is missing from the row.
        """
        return attrgetter(*(_NOTHING if path is None else ".".join(self._attributes[path]) for path in paths))

    def first(self, row: object, paths: tuple[Path, ...]) -> tuple[Value, Path | None]:
        """The value of the first path that the row has, and the path."""
        for path in paths:
            found: Any = row
            for attribute in self._attributes[path]:
                found = getattr(found, attribute, None)
            if isinstance(found, int | float | str):
                return found, path
        return None, None


def _struct(node: _Node, name: str) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = [(_NOTHING, None, None)]
    rename = {_NOTHING: "␀"}
    for index, (key, inner) in enumerate(node.inner.items()):
        attribute = f"f{index}"
        rename[attribute] = key
        kind: Any = Value if inner.wanted else None
        if inner.any_kind:
            kind = Value | bool | list[Any] if inner.inner else Any
        if inner.inner:
            nested = _struct(inner, f"{name}_{attribute}")
            kind = nested | kind if kind is not None else nested | None
        fields.append((attribute, kind, None))
    return msgspec.defstruct(name, fields, rename=rename, gc=False)


def _attributes(root: _Node, path: Path) -> list[str]:
    attributes, node = [], root
    for key in path:
        attributes.append(f"f{list(node.inner).index(key)}")
        node = node.inner[key]
    return attributes
