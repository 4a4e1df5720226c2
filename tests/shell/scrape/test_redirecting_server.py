"""Redirects are not followed: not to another host, not in a loop, not with a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from kvwatch.shell.scrape.credentials import Credentials
from tests.shell.conftest import MakeProbe, serve


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(probe: MakeProbe, tmp_path: Path, status: int) -> None:
    """Neither the loop nor the token goes anywhere."""
    token = tmp_path / "token"
    token.write_text("hunter2\n")
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": str(request.url)})

    async with serve(handler) as url:
        failure = await probe(url, credentials=Credentials(bearer_token_file=token)).failure()
    assert failure.reason == "redirect"
    assert failure.detail == f"HTTP {status}; give the final address as the target's url"
    assert asked == ["/metrics"]
