"""What holds for every test: where CI promises a component, a skip is a failure.

A test whose component is missing (promtool, a real vLLM) may skip on a developer's machine. With
``KVWATCH_REQUIRE_COMPONENTS=1``, which ``.ci/run`` sets, nothing may: a check that silently stopped running is worse
than one that fails.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long a case takes says more of the machine than of the code
settings.load_profile("untimed")

# what a daemon of a test has learnt is for no other run of tests
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="kvwatch-state-")
os.environ.pop("STATE_DIRECTORY", None)
REQUIRED = os.environ.get("KVWATCH_REQUIRE_COMPONENTS", "") not in {"", "0"}


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skipped report into a failed one that names the reason the test gave."""
    if not REQUIRED or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} may not be skipped with KVWATCH_REQUIRE_COMPONENTS=1: {reason}"


@pytest.fixture(autouse=True)
def _levels_of_loggers() -> Iterator[None]:
    """Commands that are run within the tests set up logging; the next test finds it as it was."""
    loggers = [logging.getLogger(name) for name in (None, "kvwatch", "aiohttp")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself, or is marked so, fails where components are required."""
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips as a whole while it is imported fails where components are required."""
    report = yield
    _forbid_skip(report)
    return report
