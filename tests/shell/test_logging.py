"""Events are one line each, for people or for collectors, and cannot be forged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kvwatch.shell.logging import MAX_VALUE_CHARACTERS, event, setup


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers


def logged(style: str, *, level: str = "info", **fields: object) -> str:
    """What one event leaves in the log."""
    stream = io.StringIO()
    setup(level, style, stream)
    event(logging.WARNING, "target_down", **fields)
    return stream.getvalue()


def test_plain_is_a_line_of_words() -> None:
    """Time, level, event, then the fields; values of more than a word are quoted, unknown ones left out."""
    line = logged("plain", target="a:1", detail="no answer", settings=None)
    assert line.split(" ", 1)[1] == 'warning target_down target=a:1 detail="no answer"\n'


def test_json_is_an_object_a_line() -> None:
    """Numbers stay numbers."""
    document = json.loads(logged("json", target="a:1", engines=2))
    assert document.pop("time").endswith("Z")
    assert document == {"level": "warning", "event": "target_down", "target": "a:1", "engines": 2}


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_hostile_value_cannot_forge_a_line(style: str) -> None:
    """Newlines and escape codes of a target's words are escaped, and their length is bounded."""
    line = logged(style, detail="x\n2026-01-01T00:00:00Z info target_up\x1b[31m" + "y" * 10_000)
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert len(line) < MAX_VALUE_CHARACTERS + 200


def test_a_library_s_debugging_is_never_written(caplog: pytest.LogCaptureFixture) -> None:
    """The client of Kubernetes writes the bodies of its answers at that level, with all that is secret in them."""
    del caplog  # whose handler would else be among those of the root
    stream = io.StringIO()
    setup("debug", "plain", stream)
    logging.getLogger("kubernetes_asyncio.client.rest").debug("response body: token")
    logging.getLogger("other").info("connected")
    assert "token" not in stream.getvalue()
    assert "connected" in stream.getvalue()


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_library_s_words_are_not_an_event(style: str) -> None:
    """What another logger says comes under its own name, on one line."""
    stream = io.StringIO()
    setup("info", style, stream)
    logging.getLogger("other").error("target_up\nforged")
    line = stream.getvalue()
    assert line.count("\n") == 1
    if style == "json":
        assert json.loads(line)["event"] == "other"
    else:
        assert line.split()[2] == "other"


def test_a_level_hides_what_is_below_it() -> None:
    """Error hides warnings."""
    assert logged("plain", level="error", target="a:1") == ""


@pytest.mark.parametrize("style", ["plain", "json"])
def test_a_fault_has_its_traceback(style: str) -> None:
    """A bug is logged with where it is."""
    stream = io.StringIO()
    setup("info", style, stream)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        event(logging.ERROR, "internal_error", exc=error)
    assert "test_a_fault_has_its_traceback" in stream.getvalue()
    assert "ZeroDivisionError: division by zero" in stream.getvalue()
