"""A command line → the server that it starts: vLLM's, Dynamo's worker, or SGLang's, with its options.

Whatever is no such server's command line is none: a shell, a client, a router.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MODULES = {
    "vllm.entrypoints.openai.api_server": 8000,
    "vllm.entrypoints.api_server": 8000,
    "dynamo.vllm": None,
    "sglang.launch_server": 30_000,
}
"""Modules that ``python -m`` starts, with the port that they listen on by default."""
_PROGRAMS = {"vllm": 8000, "sglang": 30_000}
"""Programs with a sub-command ``serve``, likewise."""
_SCRIPTS = ("vllm/entrypoints/openai/api_server.py",)
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_SHORT = {"-tp": "tensor_parallel_size", "-pp": "pipeline_parallel_size", "-dp": "data_parallel_size"}
_MOST_ARGUMENTS = 4096
"""Words of a command line that are looked at. Choice: far more than any server is given."""
_MOST_CHARACTERS = 100_000
"""Of a shell's script. Choice: likewise, and splitting one costs its length."""
_VARIABLE = re.compile(r"\$(?:\((\w{1,128})\)|\{(\w{1,128})\}|(\w{1,128}))", re.ASCII)
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&"})


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """A server that a command line starts.

    Attributes:
        options: By name, with underscores, as they were written; a flag without a value is true or false.
        port: It listens there, by an option or by default; ``None`` where neither says.
        config_file: File that holds more options, as ``vllm serve --config`` names it; ``""`` without one.
    """

    options: Mapping[str, object]
    port: int | None
    config_file: str = ""


def server_command(
    words: Sequence[str], variables: Mapping[str, str] | None = None, *, shells: bool = False
) -> ServerCommand | None:
    """The server that the words start; ``None`` where it is none that is known.

    ``variables`` stand for what the words call ``$(NAME)``, or in a shell's script ``$NAME``; with ``shells`` scripts
    that a shell is given with ``-c`` are read too. A word with a variable that is not known is left as it is.
    """
    known = variables or {}
    words = [_expanded(word, known, only_braces=True) for word in words[:_MOST_ARGUMENTS]]
    if shells and words and _basename(words[0]) in _SHELLS:
        return _in_script(words, known)
    for place, word in enumerate(words):
        arguments = _arguments(words, place, word)
        if arguments is not None:
            rest, port = arguments
            return _command(rest, port)
    return None


def _arguments(words: Sequence[str], place: int, word: str) -> tuple[Sequence[str], int | None] | None:
    """The server's own words and its default port, where the word at ``place`` starts it."""
    after = words[place + 1] if place + 1 < len(words) else ""
    if word == "-m" and after in _MODULES:
        return words[place + 2 :], _MODULES[after]
    if _basename(word) in _PROGRAMS and after == "serve":
        return words[place + 2 :], _PROGRAMS[_basename(word)]
    if word.endswith(_SCRIPTS):
        return words[place + 1 :], 8000
    return None


def _command(words: Sequence[str], port: int | None) -> ServerCommand:
    options = _options(words)
    given = options.get("port")
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) <= 5:
        port = int(given)
    config = options.get("config")
    return ServerCommand(options, port, config if isinstance(config, str) else "")


def _options(words: Sequence[str]) -> dict[str, object]:
    """Options by name: ``--name value``, ``--name=value``, ``--flag`` and ``--no-flag``; the last of a name counts."""
    found: dict[str, object] = {}
    for place, word in enumerate(words):
        if not word.startswith("--") and word not in _SHORT:
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        name = _SHORT.get(word, name.replace("-", "_"))
        after = words[place + 1] if place + 1 < len(words) else ""
        if equals:
            found[name] = value
        elif after and not after.startswith("--"):
            found[name] = after
        elif name.startswith("no_"):
            found[name.removeprefix("no_")] = False
        else:
            found[name] = True
    return found


def _in_script(words: Sequence[str], variables: Mapping[str, str]) -> ServerCommand | None:
    """The server that a shell's script starts; its further words are the script's ``$0``, ``$1`` and so on."""
    place = next((i for i, word in enumerate(words) if re.fullmatch(r"-[a-z]*c[a-z]*", word)), None)
    if place is None or place + 1 >= len(words):
        return None
    script = words[place + 1][:_MOST_CHARACTERS]
    for line in script.replace("\\\n", " ").splitlines():
        try:
            split = shlex.split(line, comments=True)
        except ValueError:
            continue
        expanded = [part for word in split for part in _expanded(word, variables).split() or [""]]
        commands: list[list[str]] = [[]]
        for word in expanded:
            if word in _SEPARATORS:
                commands.append([])
            else:
                commands[-1].append(word)
        for command in commands:
            found = server_command(command, variables)
            if found is not None:
                return found
    return None


def _expanded(word: str, variables: Mapping[str, str], *, only_braces: bool = False) -> str:
    """The word with the variables that are known; Kubernetes itself replaces ``$(NAME)`` and nothing else."""

    def value(match: re.Match[str]) -> str:
        name = match[1] if only_braces else match[1] or match[2] or match[3]
        return variables.get(name, match[0]) if name else match[0]

    return _VARIABLE.sub(value, word)


def _basename(word: str) -> str:
    return word.rpartition("/")[2]
