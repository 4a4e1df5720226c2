"""Changes to plain data, as a file holds it: other types and sizes, and text that no encoder writes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

Place = tuple[Any, Any]
"""An object or list, and the key or index in it."""
Change = tuple[int, str, Any]
"""Which place, what is done to it, and the value that is put there."""

_MARK = re.compile(r"[\"']?@(\w+)@[\"']?")
_MOST_PLACES = 100_000


def values(marks: Mapping[str, str]) -> st.SearchStrategy[Any]:
    """Values by which a place is replaced; ``marks`` names text that :func:`marked` puts in."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 3),
        st.sampled_from([0.5, -0.5, -0.0, 1e12, -1e12, 1.5e9, 4e9, 2**31, 2**53 + 1]),
        st.sampled_from([f"@{name}@" for name in marks]),
        st.sampled_from(["", "x", "1", "nan", "ok", "config", "1m", ":0", "http://[", "\ufeff", "a\nb"]),
        st.sampled_from([[], {}, [[]], [{}], [None], {"": None}, [0] * 500, {"a": [1]}, [1, 2], [1, 2, 3, 4]]),
    )


def changes(marks: Mapping[str, str]) -> st.SearchStrategy[list[Change]]:
    """One to three changes."""
    kinds = st.sampled_from(["put", "put", "put", "drop", "twice", "scale"])
    return st.lists(st.tuples(st.integers(0, 2**32), kinds, values(marks)), min_size=1, max_size=3)


def places(value: Any) -> Iterator[Place]:
    """Every place in some data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(inner):
        yield value, key
        yield from places(each)


def change(data: Any, made: list[Change], sections: Callable[[Any], list[list[Place]]]) -> None:
    """Make the changes in place, one after the other; ``sections`` groups the places that are chosen among."""
    for number, kind, value in made:
        parts = sections(data)
        if not parts or sum(map(len, parts)) > _MOST_PLACES:
            return
        part = parts[number % len(parts)]
        owner, key = part[number // len(parts) % len(part)]
        match kind:
            case "drop":
                del owner[key]
            case "twice" if isinstance(owner[key], list):
                owner[key] = copy.deepcopy(owner[key]) * 2
            case "scale" if isinstance(owner[key], int | float):
                owner[key] = owner[key] * -1e9 if number % 2 else owner[key] * 1e9
            case _:
                owner[key] = copy.deepcopy(value)


def marked(text: str, marks: Mapping[str, str]) -> str:
    """The text with what each mark stands for."""
    return _MARK.sub(lambda found: marks.get(found[1], found[0]), text)
