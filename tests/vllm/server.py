"""A real vLLM on loopback: start it, wait for it, stop it, kill it.

Every wait is bounded. vLLM is a front end and an engine in processes of their own; they share one process group,
so that ending the group, by its id, leaves none behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vllm.model import Shape, write_model

START_SECONDS = 180.0
"""A start takes about 40 s on an idle pair of cores; the rest is for busy ones."""

STOP_SECONDS = 20.0

POLLING = "VLLM::"
"""How vLLM names its engine and its workers, which poll; the front end, which does not, keeps its own name."""


class VllmFailedError(RuntimeError):
    """The server did not come up or did not go away; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to start vLLM. Sizes are in tokens, but ``blocks`` in blocks and ``seats`` in requests."""

    shape: Shape
    name: str
    blocks: int
    seats: int
    block_tokens: int = 32
    """The CPU's attention kernel wants a multiple of 32."""
    budget_tokens: int = 512
    model_tokens: int = 2048

    def arguments(self, model: Path, port: int) -> list[str]:
        """The command line after ``python -m``."""
        options = {
            "--model": model,
            "--served-model-name": self.name,
            "--host": "127.0.0.1",
            "--port": port,
            "--load-format": "dummy",
            "--dtype": "bfloat16",
            "--max-model-len": self.model_tokens,
            "--block-size": self.block_tokens,
            "--num-gpu-blocks-override": self.blocks,
            "--max-num-seqs": self.seats,
            "--max-num-batched-tokens": self.budget_tokens,
        }
        flags = ["--enforce-eager", "--no-enable-prefix-caching", "--disable-uvicorn-access-log"]
        return [str(part) for pair in options.items() for part in pair] + flags


def free_port() -> int:
    """A loopback port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def vllm_python() -> Path | None:
    """The interpreter of the environment that ``make setup-vllm`` makes, or ``None`` where it was not run."""
    default = Path(__file__).resolve().parents[2] / ".cache" / "vllm"
    python = Path(os.environ.get("KVWATCH_VLLM_VENV", default)) / "bin" / "python"
    return python if python.exists() else None


class VllmServer:
    """One server at one address; it can be started again there after it was stopped or killed."""

    def __init__(
        self,
        python: Path,
        settings: ServerSettings,
        folder: Path,
        flags: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "vllm.log"
        self._command = [str(python), "-m", "vllm.entrypoints.openai.api_server"]
        self._command += settings.arguments(write_model(folder / settings.name, settings.shape), self.port)
        self._command += flags
        self._variables = dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until ``/health`` answers.

        Raises:
            VllmFailedError: the process ended, or did not answer within ``START_SECONDS``.
        """
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",  # the other core belongs to the load and to kvwatch
            **self._variables,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.healthy():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                why = f"ended with {code}" if code is not None else f"gave no answer in {START_SECONDS:.0f} s"
                self.kill()
                raise VllmFailedError(f"vLLM {why}; its log ends:\n{self.log_tail()}")
            time.sleep(0.5)
        self._let_others_run()

    def _let_others_run(self) -> None:
        """Give what polls in a loop, the engine and its worker, the time that nobody else wants.

        They yield and are at once ready to run, on both cores. Linux 6.18 then leaves whoever sleeps a little, as load
        and kvwatch do, aside for seconds (8 s were seen); where a server has a core for each, nobody would notice.
        """
        assert self._process is not None
        for pid in group_members(self._process.pid):
            with contextlib.suppress(OSError):  # it has ended
                if (Path("/proc") / str(pid) / "comm").read_text().startswith(POLLING):
                    for thread in (Path("/proc") / str(pid) / "task").iterdir():
                        os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))

    def ensure_started(self) -> None:
        """Start it unless it runs already. Raises as :meth:`start` does."""
        if self._process is None or not self.healthy():
            self.kill()
            self.start()

    def healthy(self) -> bool:
        """Whether ``/health`` answers 200 within a second."""
        with contextlib.suppress(urllib.error.URLError, OSError), self._get("/health", 1.0) as answer:
            return bool(answer.status == 200)
        return False

    def metrics(self) -> str:
        """The exposition, as vLLM gives it."""
        with self._get("/metrics", 10.0) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        """End it politely, and by force after ``STOP_SECONDS``."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, as the kernel's out-of-memory killer would; returns when all are gone.

        Raises:
            VllmFailedError: a process of the group outlived it by ``STOP_SECONDS``.
        """
        if self._process is not None:
            kill_group(self._process)
            self._process = None

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _get(self, path: str, timeout: float) -> contextlib.closing[urllib.response.addinfourl]:
        return contextlib.closing(urllib.request.urlopen(self.url + path, timeout=timeout))


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """SIGKILL to every process of the group that ``leader`` leads; returns when all are gone.

    Raises:
        VllmFailedError: one outlived it by ``STOP_SECONDS``.
    """
    group, deadline = leader.pid, time.monotonic() + STOP_SECONDS
    while left := group_members(group):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        leader.poll()  # a leader that nobody waits for stays a zombie
        if time.monotonic() > deadline:
            raise VllmFailedError(f"processes {left} of vLLM do not end")
        time.sleep(0.05)
    leader.wait(STOP_SECONDS)


def group_members(group: int) -> list[int]:
    """Ids of the live (not zombie) processes of process group ``group``."""
    return [pid for pid, state, pgrp in _processes() if pgrp == group and state != "Z"]


def _processes() -> Iterator[tuple[int, str, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # the command name, in parentheses, may itself hold spaces and parentheses
            state, _parent, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
            yield int(stat.parent.name), state, int(pgrp)
