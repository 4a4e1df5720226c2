"""The process behind a port: real ones that listen, and process tables as containers and other users make them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvwatch.facts import Settings, SettingSource
from kvwatch.shell.settings.devices import device_of
from kvwatch.shell.settings.local import local_port
from kvwatch.shell.settings.process import Listener, listener_on

LISTENS = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def listening(folder: Path, *options: str) -> Iterator[int]:
    """A process that calls itself vLLM's server, with these options; the port that it listens on."""
    program = folder / "vllm"
    program.write_text(LISTENS)
    command = [sys.executable, str(program), "serve", "m", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def seen(port: int) -> Settings:
    """What is found of a process that is visible; the device is this machine's."""
    found = listener_on(port)
    assert found is not None
    assert found.settings is not None
    return found.settings


def test_the_command_line_of_the_process_that_listens_is_read(tmp_path: Path) -> None:
    """Not that of another server, nor of a port that nobody listens on."""
    with listening(tmp_path, "--max-num-seqs", "37") as port, listening(tmp_path, "--max-num-seqs", "64") as other:
        assert (seen(port).max_num_seqs, seen(other).max_num_seqs) == (37, 64)
        assert seen(port).source is SettingSource.PROCESS
        assert seen(port).complete
    assert listener_on(port) is None


def test_a_file_of_options_is_read_as_the_process_sees_it(tmp_path: Path) -> None:
    """From its own folder; an option on the command line wins, and a file that is no such leaves the rest unknown."""
    (tmp_path / "vllm.yaml").write_text("max-num-seqs: 12\nmax_num_batched_tokens: 4096\nmodel: m\n")
    with listening(tmp_path, "--config", "vllm.yaml", "--max-num-seqs", "37") as port:
        assert (seen(port).max_num_seqs, seen(port).max_num_batched_tokens, seen(port).complete) == (37, 4096, True)
        (tmp_path / "vllm.yaml").write_text("- a\n- list\n")
        assert (seen(port).max_num_seqs, seen(port).complete) == (37, False)
        (tmp_path / "vllm.yaml").unlink()
        assert not seen(port).complete
    absolute = tmp_path / "other.yaml"
    absolute.write_text("max_num_seqs: 5\n")
    with listening(tmp_path, "--config", str(absolute)) as port:
        assert seen(port).max_num_seqs == 5


def test_a_listener_that_is_no_server_is_not_taken_for_one() -> None:
    """A proxy, or a tunnel: somebody listens, and who serves behind it is not visible here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listener_on(server.getsockname()[1]) == Listener(None)


LINE = "  0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0 100"


def table(folder: Path, *servers: tuple[int, str, str]) -> Path:
    """A /proc of servers on port 8000 whose files are closed to us: (id, options, the inode in their network)."""
    proc = folder / "proc"
    for name, inode in [("self", "77"), *((str(pid), inode) for pid, _, inode in servers)]:
        net = proc / name / "net"
        net.mkdir(parents=True)
        (net / "tcp").write_text(f"  sl  local_address\n{LINE.format(port=8000, inode=inode)}\n")
    for pid, options, _ in servers:
        (proc / str(pid) / "cmdline").write_bytes(f"vllm serve m {options}".replace(" ", "\0").encode() + b"\0")
        # no folder of files: as closed as one that may not be opened
    return proc


def test_of_another_users_process_the_command_line_and_the_network_are_enough(tmp_path: Path) -> None:
    """As beside a server in a pod with a shared process namespace: the socket is that of our own network."""
    proc = table(tmp_path, (5, "--max-num-seqs 37", "77"), (6, "--max-num-seqs 64", "88"))
    found = listener_on(8000, proc)
    assert found is not None
    assert found.settings is not None
    assert found.settings.max_num_seqs == 37


def test_several_that_may_be_meant_and_differ_are_nobody(tmp_path: Path) -> None:
    """A guess would be as often wrong as right."""
    proc = table(tmp_path, (5, "--max-num-seqs 37", "77"), (6, "--max-num-seqs 64", "77"))
    assert listener_on(8000, proc) == Listener(None)


def test_a_process_that_is_not_visible_is_no_error(tmp_path: Path) -> None:
    """Somebody listens, in another process namespace; and where there is no /proc at all nobody is known to."""
    assert listener_on(8000, table(tmp_path)) == Listener(None)
    assert listener_on(8000, tmp_path / "nothing") is None


def test_hostile_process_tables_are_survived(tmp_path: Path) -> None:
    """Bytes that are no text, lines that are cut."""
    proc = table(tmp_path, (5, "--max-num-seqs 37", "77"))
    (proc / "self" / "net" / "tcp6").write_text("header\nshort line\n")
    (proc / "6").mkdir()
    (proc / "6" / "cmdline").write_bytes(b"\xff\xfe vllm\0" * 10)
    (proc / "7").write_text("a file")
    found = listener_on(8000, proc)
    assert found is not None
    assert found.settings is not None


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://localhost:8000", 8000),
        ("http://127.0.0.1:8001/prefix", 8001),
        ("http://[::1]:8002", 8002),
        (f"http://{socket.gethostname()}:8003", 8003),
        ("https://localhost", 443),
        ("http://192.0.2.1:8000", None),
        ("http://vllm.models.svc:8000", None),
    ],
)
def test_only_targets_of_this_host_are_looked_for(url: str, port: int | None) -> None:
    """Without asking a name server."""
    assert local_port(url) == port


def gpus(folder: Path, *names: str) -> Path:
    """A /proc of a host with these GPUs."""
    for number, name in enumerate(names):
        gpu = folder / "driver" / "nvidia" / "gpus" / f"0000:0{number}:00.0"
        gpu.mkdir(parents=True)
        (gpu / "information").write_text(f"Model: \t\t {name}\nIRQ: 1\n")
    return folder


@pytest.mark.parametrize(
    ("names", "device"),
    [
        (("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"), "gpu_large"),
        (("NVIDIA A100-SXM4-80GB",), "gpu_small"),
        (("NVIDIA L40S",), "gpu_small"),
        (("NVIDIA B200",), "gpu_largest"),
        (("NVIDIA H100 NVL", "NVIDIA L4"), "gpu"),
        (("NVIDIA Something New",), "gpu"),
        ((), "cpu"),
    ],
)
def test_the_kernel_tells_what_a_host_has(tmp_path: Path, names: tuple[str, ...], device: str) -> None:
    """Of the driver for NVIDIA's; a host without any device of a maker computes on its CPU."""
    dev = tmp_path / "dev"
    dev.mkdir()
    assert device_of(gpus(tmp_path / "proc", *names), dev) == device
    (dev / "kfd").touch()
    assert device_of(tmp_path / "nothing", dev) is None
    (dev / "kfd").replace(dev / "nvidiactl")
    assert device_of(tmp_path / "nothing", dev) == "gpu"
