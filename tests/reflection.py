"""Finds what keeps state in a package, feeds it by the names of its parameters, and looks into what it keeps."""

from __future__ import annotations

import ast
import enum
import gc
import importlib
import inspect
import pickle
import pkgutil
import random
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

Feed = Callable[[random.Random, int], Any]
"""The value of a parameter at the n-th call."""


def modules(package: ModuleType) -> list[ModuleType]:
    """A package's modules, those of its sub-packages too."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(info.name) for info in found]


def classes_with(package: ModuleType, method: str) -> list[type]:
    """Public classes that have a method of that name and are no values, protocols or enumerations."""
    found = [
        member
        for module in modules(package)
        for member in vars(module).values()
        if inspect.isclass(member) and member.__module__ == module.__name__ and not member.__name__.startswith("_")
    ]
    return [c for c in found if callable(getattr(c, method, None)) and not _is_no_estimator(c)]


def _is_no_estimator(found: type) -> bool:
    frozen = is_dataclass(found) and found.__dataclass_params__.frozen
    return frozen or getattr(found, "_is_protocol", False) or issubclass(found, (enum.Enum, Exception))


def arguments(
    call: Callable[..., Any], feeds: Mapping[str, Feed], source: random.Random, number: int
) -> dict[str, Any]:
    """What to call it with. Raises LookupError for a parameter that has no default and that nobody knows to feed."""
    given = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if name in feeds:
            given[name] = feeds[name](source, number)
        elif parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            raise LookupError(f"{call.__qualname__}: say what {name} is fed with")
    return given


def answers(estimator: object, feeds: Mapping[str, Feed]) -> dict[str, object]:
    """What its public methods and properties say that take nothing but what can be fed, by name."""
    found = {}
    for name, member in inspect.getmembers_static(type(estimator)):
        if name.startswith("_") or isinstance(member, (classmethod, staticmethod)):
            continue
        if isinstance(member, property):
            found[name] = getattr(estimator, name)
        elif inspect.isfunction(member) and "return" in member.__annotations__:
            bound = getattr(estimator, name)
            try:
                given = arguments(bound, feeds, random.Random(0), 0)
            except LookupError:
                continue
            if member.__annotations__["return"] not in {"None", None}:
                found[name] = bound(**given)
    return found


_CHANGES = {
    "append",
    "appendleft",
    "add",
    "clear",
    "discard",
    "extend",
    "pop",
    "popitem",
    "popleft",
    "remove",
    "update",
}
"""Methods of containers, and of what streams, that change them."""


def writers(package: ModuleType) -> list[str]:
    """Public methods and properties that return something and change their object, as Class.method."""
    found = []
    for module in modules(package):
        for of in ast.walk(ast.parse(inspect.getsource(module))):
            for method in of.body if isinstance(of, ast.ClassDef) else ():
                returns = isinstance(method, ast.FunctionDef) and ast.unparse(method.returns or ast.Constant(None))
                if returns and returns != "None" and not method.name.startswith("_") and _writes(method):
                    found.append(f"{of.name}.{method.name}")
    return found


def _writes(method: ast.FunctionDef) -> bool:
    """Whether it binds an attribute of ``self``, or an item in one, or calls what changes one."""
    for node in ast.walk(method):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            written: ast.expr = node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            written = node.func.value
        else:
            continue
        while isinstance(written, ast.Subscript) or (
            isinstance(written, ast.Attribute) and not isinstance(written.value, ast.Name)
        ):
            written = written.value
        if isinstance(written, ast.Attribute) and isinstance(written.value, ast.Name) and written.value.id == "self":
            return True
    return False


def size_bytes(estimator: object) -> int:
    """Size of all that it keeps, written out."""
    return len(pickle.dumps(estimator))


def cyclic_garbage(make: Callable[[], object]) -> int:
    """Objects that are left over when what ``make`` returns is gone, because they hold each other."""
    gc.collect()
    estimator: object = make()
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        del estimator
        return gc.collect()
    finally:
        if was_enabled:
            gc.enable()
