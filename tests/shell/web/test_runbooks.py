"""Every alert's `runbook_url` leads to its runbook, on the daemon's own endpoint and in the wheel."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kvwatch.config import ServerConfig
from kvwatch.shell.web.runbooks import runbooks
from tests.alerts.test_rules import ALERT_RULES, RUNBOOKS
from tests.shell.web.test_server import ask, serving

URLS = {alert: urlsplit(rule["annotations"]["runbook_url"]) for alert, rule in ALERT_RULES.items()}


async def test_every_runbook_url_of_the_rules_is_answered_with_the_runbook() -> None:
    """At kvwatch's default port, and with the text of docs/runbooks."""
    async with serving() as server:
        for alert, url in URLS.items():
            assert (url.scheme, url.hostname, url.port) == ("http", "localhost", ServerConfig().port)
            response, body = await ask(server, url.path)
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert body == (RUNBOOKS / f"{alert}.md").read_bytes()
            assert (await ask(server, url.path.removesuffix(".md")))[1] == body


@pytest.mark.parametrize(
    "name",
    ["Nothing.md", "", "..%2fhttp-api.md", "%2e%2e/http-api.md", "KvwatchDown.md/", "KvwatchDown.md%00", "a" * 9000],
)
async def test_nothing_else_is_found_there(name: str) -> None:
    """Names are looked up in memory, and no file is opened."""
    async with serving() as server:
        response, body = await ask(server, f"/runbooks/{name}")
        assert response.status in (400, 404)
        assert b"Meaning" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_runbooks_are_read_only(method: str) -> None:
    """As everything else."""
    async with serving() as server:
        response, _ = await ask(server, "/runbooks/KvwatchDown.md", method)
    assert response.status == 405


def test_the_package_holds_the_runbooks_of_docs() -> None:
    """Its folder is a link in a working copy; wheels and images hold the files themselves."""
    package = Path(RUNBOOKS).parents[1] / "kvwatch" / "runbooks"
    assert package.is_symlink()
    assert package.resolve() == RUNBOOKS
    assert set(runbooks()) == set(ALERT_RULES)
