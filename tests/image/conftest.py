"""The image, built once, and a place to run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"BUILDAH_ISOLATION": "chroot"}


def command(*arguments: str | Path) -> str:
    """What a command prints; its errors are those of the test."""
    done = subprocess.run(arguments, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Container:
    """A working container of the image."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.config = json.loads(command("buildah", "inspect", name))["Docker"]["config"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    def read_only(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as the image's user, its root read-only, in a network of its own.

        kvwatch's own network is the loopback of a new namespace, so its port is free.
        """
        user = self.config["User"]
        root = self.root
        setup = f"""
            set -e
            ip link set lo up
            mount --bind {root} {root}
            mount -t tmpfs none {root}/dev
            for device in null urandom; do touch {root}/dev/$device; mount --bind /dev/$device {root}/dev/$device; done
            mount -o remount,bind,ro {root}
            exec chroot --userspec={user} {root} /bin/sh -c "$SCRIPT"
        """
        return subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "/bin/bash", "-c", setup],
            env=self.environment | {"SCRIPT": script, "PATH": f"{self.environment['PATH']}:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The tag of the image, built now from the working tree, and removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("the image tests build and mount images, which needs root")
    tag = "localhost/kvwatch:test"
    command(ROOT / "scripts" / "build_image.sh", tag)
    yield tag
    command("buildah", "rmi", tag)


@pytest.fixture
def container(image: str) -> Iterator[Container]:
    """A container of the image, removed afterwards."""
    name = command("buildah", "from", image)
    try:
        yield Container(name, Path(command("buildah", "mount", name)))
    finally:
        command("buildah", "umount", name)
        command("buildah", "rm", name)
