"""kvwatch imported with one of its constants scaled, or with every use of one noted.

A finder in front of Python's own rewrites the source of the modules in which constants count before it is compiled, so
that a constant has its other value wherever it went: into default arguments, into other constants, into modules that
import it. It must be there before those modules are imported; :func:`forget` unloads them.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

import numpy as np

from bench.sensitivity.found import constants, module_of, sources

touched: set[tuple[str, str]] = set()
"""(module, name) of the constants that were read while :class:`Touches` was installed."""


def scaled(value: object, factor: float) -> object:
    """A number, or all the numbers of a tuple, a set of them or an array, times a factor; whole ones stay whole."""
    if isinstance(value, np.ndarray):
        return value * factor
    if isinstance(value, tuple | list | frozenset):
        return type(value)(scaled(each, factor) for each in value)
    if isinstance(value, Mapping):
        return {key: scaled(each, factor) for key, each in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return max(round(value * factor), 1) if value > 0 else round(value * factor)
    return value * factor


def touch(module: str, name: str, value: object) -> object:
    """Note that a constant was read."""
    touched.add((module, name))
    return value


class _Finder(MetaPathFinder):
    """Finds the modules in which constants count and hands their source to :meth:`rewritten`."""

    def __init__(self) -> None:
        self._paths = {module_of(path): path for path in sources()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's specification, with a loader that rewrites."""
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if fullname in self._paths and spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self)
        return spec if fullname in self._paths else None

    def rewritten(self, module: str, tree: ast.Module) -> ast.Module:
        """The source of a module, changed."""
        raise NotImplementedError


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, finder: _Finder) -> None:
        super().__init__(fullname, path)
        self._finder = finder

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(Path(self.path).read_text())
        changed = ast.fix_missing_locations(self._finder.rewritten(fullname, tree))
        return compile(changed, self.path, "exec", dont_inherit=True)


class Scaled(_Finder):
    """Scales one constant."""

    def __init__(self, module: str, name: str, factor: float) -> None:
        super().__init__()
        self._module, self._name, self._factor = module, name, factor

    def rewritten(self, module: str, tree: ast.Module) -> ast.Module:
        """With the constant's value times the factor, where it is assigned."""
        if module == self._module:
            for statement in tree.body:
                names = [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
                if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value and names == [self._name]:
                    statement.value = _called("scaled", statement.value, ast.Constant(self._factor))
        return tree


class Touches(_Finder):
    """Notes which constants are read inside functions; those that are read at import count as read."""

    def __init__(self) -> None:
        super().__init__()
        self._names = {module_of(path): {c.name for c in constants(path)} for path in sources()}

    def rewritten(self, module: str, tree: ast.Module) -> ast.Module:
        """With each use of a constant noted, its own or an imported one."""
        owners = dict.fromkeys(self._names[module], module)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in self._names:
                imported = {alias.name for alias in node.names} & self._names[node.module]
                owners |= dict.fromkeys(imported, node.module)
        return ast.Module([_Noted(owners).visit(statement) for statement in tree.body], tree.type_ignores)


class _Noted(ast.NodeTransformer):
    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Wrap the use of a constant."""
        if isinstance(node.ctx, ast.Load) and node.id in self._owners:
            owner, name = ast.Constant(self._owners[node.id]), ast.Constant(node.id)
            return _called("touch", owner, name, node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        """Leave annotations alone."""
        if node.value is not None:
            node.value = self.visit(node.value)
        return node


def _called(function: str, *arguments: ast.expr) -> ast.Call:
    """A call of a function of this module, from any other."""
    module = ast.parse(f"__import__({__name__!r}, fromlist=['x']).{function}", mode="eval").body
    return ast.Call(module, list(arguments), [])


def forget(packages: Iterable[str]) -> None:
    """Unload modules, so that the next import makes them again."""
    for name in [name for name in sys.modules if any(name == p or name.startswith(f"{p}.") for p in packages)]:
        del sys.modules[name]
