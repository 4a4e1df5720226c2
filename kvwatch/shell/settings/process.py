"""The command line of the server that listens on a port of this host, where the process is visible.

On Linux, where kvwatch shares the network of the server: on its host, or in its pod. The process itself is visible
there too, unless kvwatch is in a container beside the server's: then ``shareProcessNamespace`` of the pod, or docker's
``--pid`` makes it so. Files of processes of other users may be closed; what can be read is enough in most cases, and
nothing of it is an error. Only the options of a vLLM or an SGLang are kept of what is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings import ServerCommand, server_command, settings_from_options
from kvwatch.shell.settings.devices import device_of

PROC = Path("/proc")
_MOST_PROCESSES = 65_536
"""Processes that are looked at. Choice: more than a host of GPUs runs."""
_MOST_COMMAND_BYTES = 256 * 1024
"""Of a command line. Choice: the kernel lets one argument be half of that."""
_MOST_CONFIG_BYTES = 1 << 20
"""Of a file of options. Choice: a thousand times what one holds."""
_MOST_DESCRIPTORS = 65_536
"""Files of one process that are looked at. Choice: vLLM asks for as many at most."""
_LISTENING = "0A"
"""State of a socket in /proc/net/tcp. Definition: include/net/tcp_states.h of Linux."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on a port: the settings that its command line shows, ``None`` where it is not visible."""

    settings: Settings | None = None


def listener_on(port: int, proc: Path = PROC) -> Listener | None:
    """The server that listens on a port in this network namespace; ``None`` where nobody does."""
    sockets = set(_listening(proc / "self" / "net", port))
    if not sockets:
        return None
    guesses: set[Settings] = set()
    for folder in _processes(proc):
        command = _command(folder)
        if command is None:
            continue
        owns = _owns(folder, sockets)
        if owns:
            return Listener(_settings(folder, command, proc))
        # of another user only the command line is visible, and the sockets of its network
        if owns is None and command.port == port and sockets & set(_listening(folder / "net", port)):
            guesses.add(_settings(folder, command, proc))
    return Listener(guesses.pop() if len(guesses) == 1 else None)


def _processes(proc: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(proc) as entries:
        for count, entry in enumerate(entries):
            if count >= _MOST_PROCESSES:
                return
            if entry.name.isdecimal():
                yield proc / entry.name


def _command(folder: Path) -> ServerCommand | None:
    try:
        with (folder / "cmdline").open("rb") as file:
            content = file.read(_MOST_COMMAND_BYTES)
    except OSError:
        return None
    if b"vllm" not in content and b"sglang" not in content:
        return None
    return server_command([word.decode("utf-8", "replace") for word in content.rstrip(b"\0").split(b"\0")])


def _listening(net: Path, port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError):
            for line in (net / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _owns(folder: Path, sockets: set[str]) -> bool | None:
    """Whether a process has one of the sockets open; ``None`` where its files are closed to us."""
    wanted = {f"socket:[{inode}]" for inode in sockets}
    try:
        with os.scandir(folder / "fd") as descriptors:
            for count, descriptor in enumerate(descriptors):
                with suppress(OSError):
                    if count < _MOST_DESCRIPTORS and str(Path(descriptor.path).readlink()) in wanted:
                        return True
    except OSError:
        return None
    return False


def _settings(folder: Path, command: ServerCommand, proc: Path) -> Settings:
    options = command.options
    from_file = _options_in(folder, command.config_file) if command.config_file else {}
    complete = from_file is not None
    settings = settings_from_options({**(from_file or {}), **options}, SettingSource.PROCESS, complete=complete)
    return replace(settings, device=settings.device or device_of(proc))


def _options_in(folder: Path, name: str) -> Mapping[str, object] | None:
    """The options in a file that ``vllm serve --config`` names, as that process sees it; ``None`` if unreadable."""
    path = folder / "root" / name.lstrip("/") if name.startswith("/") else folder / "cwd" / name
    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(_MOST_CONFIG_BYTES))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {name.replace("-", "_"): value for name, value in found.items() if isinstance(name, str)}
