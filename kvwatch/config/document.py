"""YAML text → plain data, strictly: no duplicate keys, no tags, no document that grows when it is read.

PyYAML's safe loader makes the values. Before it does, the composed nodes are counted with every alias
expanded, because a file of a few hundred bytes can otherwise stand for billions of values.
"""

from __future__ import annotations

import yaml

from kvwatch.config.reader import ConfigError, Fault

MAX_FILE_BYTES = 1024 * 1024
MAX_NODES = 100_000
MAX_DEPTH = 32
MAX_DIGITS = 64
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """The safe loader, used in two steps so that the nodes can be checked in between."""


def load_document(content: bytes) -> dict[object, object]:
    """The mapping that a YAML file holds; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is too long, not UTF-8, not YAML, or repeats a key.
    """
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([Fault("", f"the file is larger than {MAX_FILE_BYTES} bytes; is it a configuration?")])
    try:
        loader = _Loader(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError([Fault("", f"byte {error.start} is not UTF-8; save the file as UTF-8")]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([Fault("", f"character {error.position} is not allowed in YAML")]) from None
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        faults = _check(node, loader)
        if faults:
            raise ConfigError(faults)
        document = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_fault(error)]) from None
    except RecursionError:
        raise ConfigError([Fault("", f"nested deeper than {MAX_DEPTH} levels")]) from None
    except (ValueError, ArithmeticError) as error:  # such as the date 2024-99-99
        raise ConfigError([Fault("", f"a value cannot be read: {str(error)[:100]}; put it in quotes")]) from None
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        raise ConfigError(
            [Fault("", "the file must hold keys and values such as targets:, not a list or a single value")]
        )
    return document


def _syntax_fault(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    words = f"not valid YAML: {error.problem or error.context}"
    if "\\t" in words:
        words += "; use spaces to indent"
    begun = error.context_mark
    if error.context and begun is not None and error.problem_mark is not None and begun.line != error.problem_mark.line:
        words += f" {error.context}, which begins in line {begun.line + 1}, column {begun.column + 1}"
    return Fault(place, words)


def _check(root: yaml.Node, loader: _Loader) -> list[Fault]:
    """Faults of the node tree: duplicate keys, tags, and more nodes, levels or digits than any configuration has."""
    faults: list[Fault] = []
    checked: set[int] = set()
    stack: list[tuple[yaml.Node, int]] = [(root, 0)]
    visited = 0
    while stack:
        node, depth = stack.pop()
        visited += 1
        if visited > MAX_NODES or depth > MAX_DEPTH:
            limit = f"{MAX_NODES} values" if visited > MAX_NODES else f"{MAX_DEPTH} levels"
            return [Fault("", f"more than {limit}, counting each alias as often as it is used")]
        if id(node) not in checked:
            checked.add(id(node))
            faults.extend(_faults_of(node, loader))
        if isinstance(node, yaml.SequenceNode):
            stack.extend((child, depth + 1) for child in reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            for key, child in reversed(node.value):
                stack += [(child, depth + 1), (key, depth + 1)]
    return faults


def _faults_of(node: yaml.Node, loader: _Loader) -> list[Fault]:
    """What is wrong with a node itself."""
    place = f"line {node.start_mark.line + 1}"
    plain = (node.style is None, node.style is not None) if isinstance(node, yaml.ScalarNode) else True
    tag: str = loader.resolve(type(node), node.value, plain)  # type: ignore[no-untyped-call]
    if node.tag != tag:  # its text need not be one that the tag's reader can take
        return [Fault(place, "a value with a tag such as !!int or !mine; write it without")]
    if tag in _NUMBERS and len(node.value) > MAX_DIGITS:
        return [Fault(place, f"a number of more than {MAX_DIGITS} characters; put it in quotes if it is text")]
    return _duplicates(node) if isinstance(node, yaml.MappingNode) else []


def _duplicates(node: yaml.MappingNode) -> list[Fault]:
    first_lines: dict[str, int] = {}
    faults = []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in first_lines:
            first = first_lines[key.value]
            faults.append(
                Fault(f"line {line}", f'key "{key.value}" is already given in line {first}; keep one of them')
            )
        else:
            first_lines[key.value] = line
    return faults
