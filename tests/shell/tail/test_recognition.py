"""A log that is not what it is configured as is reported by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvwatch.config import LogSourceConfig, TargetConfig
from kvwatch.parse.logs import LocalTime, LogFormat, LogReader
from kvwatch.shell.tail.finder import SourceSettings
from kvwatch.shell.tail.positions import Positions
from kvwatch.shell.tail.recognition import ENOUGH_LINES
from kvwatch.shell.tail.source import Batch
from kvwatch.shell.tail.tailer import LogTail
from tests.daemon.conftest import config, run, vllm
from tests.shell.tail.conftest import events

OWN = "vllm-1 | INFO 11-22 02:38:10 [a.py:1] up\n"
UVICORN = 'INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK\n'
GATEWAY = '{"path": "/health", "status": 200}\n'


class Judged:
    """A tail of one log, and what it has said of it."""

    def __init__(self, form: str) -> None:
        settings = SourceSettings("/logs/a.log", LogFormat(form))
        self.said: list[tuple[str, str]] = []
        self._key = settings.key
        self._reader = LogReader(LogFormat(form))
        self._tail = LogTail(
            "t",
            (settings,),
            Positions(),
            deliver=lambda _, __: None,
            judge=lambda path, why: self.said.append((path, why)),
            caught_up=lambda: None,
            clock=lambda: 0.0,
        )

    def read(self, line: str, times: int) -> None:
        """A chunk of so many lines."""
        reading = self._reader.read((line * times).encode(), LocalTime())
        self._tail._take(self._key, Batch("/logs/a.log", reading))


@pytest.mark.parametrize(
    ("form", "line"), [("vllm", UVICORN), ("vllm", GATEWAY), ("envoy", GATEWAY), ("nginx", UVICORN), ("otel", "{}\n")]
)
def test_a_log_without_a_known_line_is_reported_once(form: str, line: str, caplog: pytest.LogCaptureFixture) -> None:
    """After some hundreds of lines, by its path and with what became of the lines."""
    judged = Judged(form)
    judged.read(line, ENOUGH_LINES - 1)
    assert judged.said == []
    judged.read(line, 1)
    judged.read(line, ENOUGH_LINES)
    assert judged.said == [("/logs/a.log", f"none of its first {ENOUGH_LINES} lines is one of format {form}")]
    (told,) = [fields for name, fields in events(caplog) if name == "log_not_recognized"]
    assert (told["path"], told["format"], told["lines"]) == ("/logs/a.log", form, ENOUGH_LINES)
    assert str(ENOUGH_LINES) in str(told["results"])


def test_a_log_with_one_known_line_is_what_it_should_be(caplog: pytest.LogCaptureFixture) -> None:
    """However much else is in it."""
    judged = Judged("vllm")
    judged.read(OWN, 1)
    judged.read(UVICORN, 3 * ENOUGH_LINES)
    assert judged.said == [("/logs/a.log", "")]
    assert [name for name, _ in events(caplog)] == []


def test_a_log_that_is_known_after_all_is_no_problem_any_more() -> None:
    """A server may write for long before its logger does."""
    judged = Judged("vllm")
    judged.read(UVICORN, ENOUGH_LINES)
    judged.read(OWN, 1)
    assert [why for _, why in judged.said] == [f"none of its first {ENOUGH_LINES} lines is one of format vllm", ""]


async def test_metric_json_and_page_name_the_log(tmp_path: Path) -> None:
    """Of a running daemon: the gauge with the path, and words among the target's problems."""
    log = tmp_path / "vllm.log"
    log.write_text(UVICORN * ENOUGH_LINES)
    source = LogSourceConfig(path=str(log), format="vllm", start="beginning")

    async with vllm() as server:
        target = TargetConfig(server.target.name, server.target.base_url, logs=(source,))
        async with run(lambda: config(target)) as running:
            await running.until(lambda answer: "none of its first" in answer["targets"][0].get("problem", ""))
            series = f'kvwatch_log_source_recognized{{source="{log}",target="{target.name}"}}'
            assert f"{series} 0" in await running.metrics()
            with log.open("a") as file:
                file.write(OWN)
            await running.until(lambda answer: "problem" not in answer["targets"][0])
            assert f"{series} 1" in await running.metrics()
