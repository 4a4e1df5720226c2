"""A real limit of the system on what a file may hold: what was whole stays whole, and a word says what is wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvwatch.embedded.scenarios import SCENARIOS
from kvwatch.shell.emulator.server import EngineServer, ServeOptions
from kvwatch.shell.recordings.replay import Recording
from kvwatch.shell.state.file import Checkpoint, StateFile

LIMIT_BYTES = 64 * 1024
PATIENCE_SECONDS = 60.0
_LIMITED = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, {LIMIT_BYTES}))
"""
"""The process limits itself: code between fork and exec is not safe where the parent has threads."""
_SAVE = """
import sys
from pathlib import Path
from kvwatch.shell.logging import setup
from kvwatch.shell.state.file import Checkpoint, StateFile
setup()
file = StateFile(Path(sys.argv[1]))
large = Checkpoint({"t": [{"filler": "x" * 1_000_000}]})
small = Checkpoint({"t": [{"engine": "2"}]})
print(file.save(large), sorted(path.name for path in file.path.parent.iterdir()), file.load().engines, file.save(small))
"""


_RECORD = """
import runpy
runpy.run_module("kvwatch", run_name="__main__", alter_sys=True)
"""


def test_a_state_that_does_not_fit_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    """The system cuts the write in its middle; the half is removed, a word is said, and a smaller state is saved."""
    path = tmp_path / "state.json"
    assert StateFile(path).save(Checkpoint({"t": [{"engine": "1"}]}))
    command = [sys.executable, "-B", "-c", _LIMITED + _SAVE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False ['state.json'] {'t': [{'engine': '1'}]} True"
    assert "state_not_saved" in done.stderr
    assert "File too large" in done.stderr
    assert StateFile(path).load() == Checkpoint({"t": [{"engine": "2"}]})


async def test_a_recording_that_does_not_fit_ends_with_a_word_and_is_readable_so_far(tmp_path: Path) -> None:
    """The command fails, no traceback is shown, and the scrapes before the limit are replayed."""
    async with EngineServer(ServeOptions(SCENARIOS["steady"], port=0, speed=10.0)) as engine:
        url, folder = f"http://127.0.0.1:{engine.port}", tmp_path / "recording"
        options = ["--target", url, "--output", str(folder), "--interval", "0.1s"]
        command = [sys.executable, "-B", "-c", _LIMITED + _RECORD, "record", *options]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    reports: list[str] = []
    scrapes = list(Recording(folder, reports.append).scrapes())
    assert len(scrapes) > 1
    assert all("cut off" in words or "not_json" in words for words in reports), json.dumps(reports)


if sys.platform != "linux":
    pytestmark = pytest.mark.skip(reason="limits of files as Linux has them")
