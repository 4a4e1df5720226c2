"""Numbers that remember their way: floats that are followed through arithmetic, with the modules they went through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

_ROOT = "kvwatch."
_CORE = "kvwatch.core"


class Traced(float):
    """A float with marks; what is computed from it has them too.

    ``ways`` are by mark the modules of kvwatch that a reader opens who follows the number to here: those on the stack
    at each computation. What a module calls within its own package is that package's business and no door into it.
    """

    ways: Mapping[str, frozenset[str]]

    def __new__(cls, value: float, ways: Mapping[str, frozenset[str]]) -> Traced:
        """The same number, with its ways."""
        self = super().__new__(cls, value)
        self.ways = ways
        return self


def marked(value: float, mark: str, before: Iterable[str] = ()) -> Traced:
    """The number, followed from here on; ``before`` are modules that it has already come through."""
    return Traced(value, {mark: frozenset(before) | frozenset(doors(2))})


def way(value: float, mark: str) -> frozenset[str]:
    """The modules that a number with this mark came through, with those that it is handed through right now.

    Raises LookupError for a number that nothing with that mark went into.
    """
    if not isinstance(value, Traced) or mark not in value.ways:
        raise LookupError(f"{value!r} does not come from {mark}")
    return value.ways[mark] | frozenset(doors(2))


def doors(depth: int, frame: FrameType | None = None) -> Iterator[str]:
    """Modules of kvwatch on the stack that were entered from another package, from ``depth`` frames above on."""
    frame = frame or sys._getframe(depth)
    inner = ""
    while frame is not None:
        # frames of libraries in between, such as of a cached property, are no doors
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(_ROOT) or frame.f_back is None:
            if inner and _package(inner) != _package(name):
                yield inner
            inner = name if name.startswith(_ROOT) else ""
        frame = frame.f_back
    if inner:
        yield inner


def _package(module: str) -> str:
    """The package that a module belongs to; each that lies directly in the core counts by itself."""
    package = module.rpartition(".")[0]
    return module if package == _CORE else package


def _followed(name: str) -> Callable[..., Any]:
    plain = getattr(float, name)

    def operation(self: Traced, *others: float) -> Any:
        result = plain(self, *others)
        if type(result) is not float:
            return result
        stack, ways = frozenset(doors(2)), {}
        for operand in (self, *others):
            for mark, modules in operand.ways.items() if isinstance(operand, Traced) else ():
                ways[mark] = ways.get(mark, stack) | modules
        return Traced(result, ways)

    return operation


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "neg", "abs"):
    setattr(Traced, f"__{_name}__", _followed(f"__{_name}__"))
