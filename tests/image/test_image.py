"""The image as it is built: it runs the daemon as no one in particular, writing nothing."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import kvwatch
from tests.image.conftest import ENVIRONMENT, Container

pytestmark = pytest.mark.image

MIB = 1024**2
TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "helm" / "golden"
TLS = TESTS / "data" / "tls"


def test_the_daemon_answers_with_a_read_only_root(container: Container) -> None:
    """As its own user, with a root that cannot be written, it starts, passes its health check and ends on SIGTERM.

    The health check fails before: it does look.
    """
    check = container.config["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in check[1:])
    done = container.read_only(
        f"""
        {quoted} 2>/dev/null && exit 10
        touch /tmp/x 2>/dev/null && exit 11
        touch /app/x 2>/dev/null && exit 12
        kvwatch run --target http://127.0.0.1:8000 & daemon=$!
        for attempt in $(seq 60); do sleep 1; {quoted} 2>/dev/null && break; done
        {quoted} || exit 13
        id -u
        kill -TERM $daemon; wait $daemon
        """
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "65532"


def get(port: int, path: str) -> str:
    """What kvwatch answers on this machine."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_buildah_runs_it_and_it_answers(container: Container) -> None:
    """``buildah run`` starts the daemon, and /-/healthy, /metrics and a runbook are answered on the given port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = ["buildah", "run", "--user", container.config["User"], container.name, "--"]
    arguments += ["kvwatch", "run", "--listen", f"127.0.0.1:{port}", "--target", "http://127.0.0.1:9"]
    daemon = subprocess.Popen(arguments, env=ENVIRONMENT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert get(port, "/-/healthy") == "healthy\n"
                assert re.search(
                    rf'^kvwatch_build_info{{.*version="{kvwatch.__version__}".*}} 1',
                    get(port, "/metrics"),
                    re.MULTILINE,
                )
                assert get(port, "/runbooks/KvwatchDown.md").startswith("# KvwatchDown\n")
                break
            except ConnectionRefusedError:
                assert daemon.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(timeout=30)


def chart_configurations() -> dict[str, str]:
    """The configurations that the chart writes for its tests' values, by case."""
    found = {}
    for path in sorted(GOLDEN.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and document["kind"] in ("ConfigMap", "Secret"):
                content = document.get("data") or document.get("stringData") or {}
                if "kvwatch.yaml" in content:
                    found[path.stem] = content["kvwatch.yaml"]
    return found


def test_it_runs_every_configuration_that_the_chart_writes(container: Container) -> None:
    """Discovery in Kubernetes, shards, logs, and traces over gRPC too: none needs what is not in the image.

    There is no cluster, so that pods are asked for and not found; the daemon is up nevertheless. All in one process, as
    the imports take most of the time of a start.
    """
    configurations = chart_configurations()
    assert len(configurations) >= 9
    in_kubernetes = sum("kubernetes:" in text for text in configurations.values())
    assert in_kubernetes
    assert any("grpc_listen:" in text for text in configurations.values())
    secrets = container.root / "etc" / "kvwatch-secrets"
    secrets.mkdir()
    (secrets / "token").write_text("secret")
    for name, source in (("ca.pem", "ca.crt"), ("tls.crt", "server.crt"), ("tls.key", "server.key")):
        (secrets / name).write_bytes((TLS / source).read_bytes())
    for name, text in configurations.items():
        (container.root / "etc" / f"{name}.yaml").write_text(text)
    (container.root / "etc" / "starts.py").write_text(STARTS)
    done = container.read_only(f"""
        export KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=9
        exec python3 /etc/starts.py {" ".join(configurations)}
    """)
    assert done.stdout.split() == [*configurations], done.stderr
    assert "task_failed" not in done.stderr
    assert done.stderr.count("Service token file does not exist") == in_kubernetes, done.stderr


STARTS = """
import asyncio, sys
from pathlib import Path
from kvwatch.daemon import Daemon
from kvwatch.config import load_config
from kvwatch.shell.logging import setup

async def start(name):
    daemon = Daemon(lambda: load_config(Path(f"/etc/{name}.yaml")))
    stop, started = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(daemon.run(stop, lambda port: started.set()))
    await asyncio.wait([running, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.1)  # what a source imports when it first looks is imported meanwhile
    stop.set()
    await running
    print(name, flush=True)

setup()
for name in sys.argv[1:]:
    asyncio.run(start(name))
"""


def test_it_holds_what_it_needs_and_no_more(container: Container) -> None:
    """No pip, no tests of libraries, nothing its user could change; with Kubernetes and gRPC clients under 360 MiB."""
    packages = next((container.root / "app" / "lib").glob("python3.*/site-packages"))
    assert (packages / "kvwatch").is_dir()
    assert not (packages / "pip").exists()
    files = [path for path in container.root.rglob("*") if path.is_file() and not path.is_symlink()]
    statuses = {path: path.lstat() for path in files}
    assert [path for path, status in statuses.items() if status.st_uid == 65532 or status.st_mode & 0o002] == []
    assert not list(packages.glob("*/tests"))
    assert sum(status.st_size for status in statuses.values()) < 360 * MIB


def test_bytecode_is_in_the_image(container: Container) -> None:
    """Starting compiles nothing: the modules that kvwatch imports, those of Python too, come as bytecode."""
    every = "{m.__cached__ for m in sys.modules.values() if getattr(m, '__cached__', 0)}"
    done = container.read_only(f'python3 -c "import kvwatch.cli.run, sys; print(*{every})"')
    assert done.returncode == 0, done.stderr
    cached = done.stdout.split()
    assert len(cached) > 300
    assert [name for name in cached if not (container.root / name.lstrip("/")).is_file()] == []
