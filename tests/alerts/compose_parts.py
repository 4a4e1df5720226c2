"""The services of ``compose/`` as plain processes: in namespaces of their own, with the very files and commands.

    unshare --user --map-root-user --net --mount --pid --fork --kill-child python -m tests.alerts.compose_parts FOLDER

The root is in memory, over an empty folder: this machine's folders, which nothing can write to from there, and what
each service mounts, at the places where it mounts it. The names of the services lead to loopback, which is a network of
its own, so that all ports are free. All of it is gone with the last process. It is Docker's part that is played here,
and no more: Grafana is left out, of which there is no program, and all parts share one root. Prints, as JSON, what
Prometheus and Alertmanager say of the whole when all targets answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
FILES = ("compose.yaml", "no-gpu.yaml")
WAIT_SECONDS = 180.0
"""Until all targets answer; Prometheus scrapes every 15 s, and first 5 to 10 s after its start."""
OWN_FOLDERS = ("etc", "var", "proc", "data", "prometheus", "alertmanager")
"""At the root, which the services do not share with this machine."""
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1
PROGRAMS = {
    "kvwatch": [sys.executable, "-m", "kvwatch"],
    "prometheus": ["prometheus"],
    "alertmanager": ["prometheus-alertmanager"],
}
"""What the images of the services begin with."""
DEFAULTS = {
    "alertmanager": [
        "--config.file=/etc/alertmanager/alertmanager.yml",
        "--storage.path=/alertmanager",
        "--cluster.advertise-address=127.0.0.1:9094",
    ]
}
"""The command of an image that the compose file leaves as it is; an address is what it finds in Docker's network."""


class Loader(yaml.SafeLoader):
    """Knows compose's ``!reset``."""


Loader.add_constructor("!reset", lambda loader, node: None)


def services() -> dict[str, dict[str, Any]]:
    """The services of both files, the second over the first, as Compose merges what they have."""
    merged: dict[str, dict[str, Any]] = {}
    for file in FILES:
        for name, service in yaml.load((COMPOSE / file).read_text(), Loader=Loader)["services"].items():
            before = merged.get(name, {})
            merged[name] = before | service
            if before.get("volumes") and service.get("volumes"):
                mounted = {volume.split(":")[1]: volume for volume in (*before["volumes"], *service["volumes"])}
                merged[name]["volumes"] = list(mounted.values())
    return merged


def command(service: dict[str, Any]) -> list[str]:
    """What runs in a service: its image's program with its command."""
    program = service["image"].partition(":")[0].rpartition("/")[2]
    return PROGRAMS[program] + (service.get("command") or DEFAULTS[program])


def _mount(source: str, target: Path, kind: str = "", flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount of {source}: {os.strerror(number)}", str(target))


def _read_only(target: Path) -> None:
    """Let nothing be written or removed below a mount, nor below those in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("QQQQ", _READ_ONLY, 0, 0, 0)
    if libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, attributes, len(attributes)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def make_root(folder: Path, parts: dict[str, dict[str, Any]]) -> None:
    """A root with this machine's programs, and what the services mount."""
    _mount("none", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", folder, "tmpfs")
    for entry in Path("/").iterdir():
        if entry.name in OWN_FOLDERS:
            continue
        if entry.is_symlink():
            (folder / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir():
            (folder / entry.name).mkdir()
            _mount(str(entry), folder / entry.name, flags=_MS_BIND | _MS_REC)
            _read_only(folder / entry.name)
    for name in OWN_FOLDERS:
        (folder / name).mkdir()
    _mount("proc", folder / "proc", "proc")
    for name in ("passwd", "group", "ssl", "localtime", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, folder / "etc" / name, symlinks=True, ignore_dangling_symlinks=True)
        elif source.exists():
            shutil.copy(source, folder / "etc" / name)
    (folder / "etc/nsswitch.conf").write_text("hosts: files\n")
    (folder / "etc/hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *parts)))
    for service in parts.values():
        for volume in service.get("volumes") or ():
            source, target, *_ = volume.split(":")
            place = folder / target.lstrip("/")
            if not source.startswith("."):
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (COMPOSE / source).is_dir() else shutil.copy)(COMPOSE / source, place)


def loopback_up() -> None:
    """A new network's loopback is down."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


@contextlib.contextmanager
def running(parts: dict[str, list[str]], logs: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The services, each with a log; they are ended as ``docker compose down`` does it."""
    started: dict[str, subprocess.Popen[bytes]] = {}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for name, words in parts.items():
            with (logs / f"{name}.log").open("wb") as log:
                started[name] = subprocess.Popen(words, stdout=log, stderr=log, cwd="/prometheus", env=environment)
        yield started
    finally:
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        for process in started.values():
            process.wait(30)


def ask(url: str) -> Any:
    """An answer, JSON decoded; ``None`` where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def whole() -> dict[str, Any]:
    """What the parts say of each other, as far as they answer."""
    api = "http://prometheus:9090/api/v1"
    nothing: dict[str, Any] = {"data": {"activeTargets": (), "activeAlertmanagers": (), "groups": (), "result": ()}}
    targets, managers, groups, engines = (
        (ask(f"{api}/{path}") or nothing)["data"]
        for path in ("targets", "alertmanagers", "rules", "query?query=model:kvwatch_engines:watched")
    )
    return {
        "targets": {one["labels"]["job"]: one["health"] for one in targets["activeTargets"]},
        "alertmanagers": [one["url"] for one in managers["activeAlertmanagers"]],
        "rules": {rule["name"]: rule["health"] for group in groups["groups"] for rule in group["rules"]},
        "watched": {one["metric"]["model_name"]: float(one["value"][1]) for one in engines["result"]},
        "receivers": [one["name"] for one in ask("http://alertmanager:9093/api/v2/receivers") or ()],
    }


def is_whole(found: dict[str, Any]) -> bool:
    """Whether every part has seen what it is to see: the rules last, of an engine that kvwatch and Prometheus read."""
    seen = bool(found) and all(found.values())
    return seen and set(found["targets"].values()) == {"up"} and set(found["watched"].values()) == {1.0}


def main(folder: Path) -> None:
    """Play the part of Docker."""
    parts = services()
    loopback_up()
    make_root(folder, parts)
    os.chroot(folder)
    os.chdir("/")
    logs = Path("/var/log")
    logs.mkdir(parents=True)
    commands = {name: command(parts[name]) for name in ("vllm", "kvwatch", "alertmanager", "prometheus")}
    with running(commands, logs) as started:
        until = time.monotonic() + WAIT_SECONDS
        found: dict[str, Any] = {}
        while time.monotonic() < until and not is_whole(found):
            time.sleep(1.0)
            found = whole()
    found |= {
        "ended": {name: process.returncode for name, process in started.items()},
        "state": Path("/var/lib/kvwatch/state.json").exists(),
        "logs": {name: (logs / f"{name}.log").read_text(errors="replace")[-2000:] for name in commands},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
