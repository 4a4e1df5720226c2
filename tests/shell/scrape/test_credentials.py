"""Secrets reach the target and nobody else."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from aiohttp import web

from kvwatch.shell.scrape.client import Target
from kvwatch.shell.scrape.credentials import Authenticator, Credentials, CredentialsError
from tests.shell.conftest import MakeProbe, expositions, serve, text_response


async def test_a_token_is_sent_and_rotates(probe: MakeProbe, tmp_path: Path) -> None:
    """The file is read again when it changes, also by the way Kubernetes does it, with a link."""
    first, second, token = tmp_path / "1", tmp_path / "2", tmp_path / "token"
    first.write_text("hunter2\n")
    second.write_text("hunter3\n")
    token.symlink_to(first)
    sent = []

    async def handler(request: web.Request) -> web.Response:
        sent.append(request.headers["Authorization"])
        return text_response(expositions()[0])

    async with serve(handler) as url:
        scraping = probe(url, credentials=Credentials(bearer_token_file=token))
        await scraping.success()
        other = tmp_path / "new"
        other.symlink_to(second)
        other.replace(token)
        await scraping.success()
    assert sent == ["Bearer hunter2", "Bearer hunter3"]


def test_basic_auth_is_sent(tmp_path: Path) -> None:
    """User and password as RFC 7617 has them, UTF-8 included."""
    password = tmp_path / "password"
    password.write_text("pässword")
    header = Authenticator(Credentials(username="me", password_file=password), https=False).headers()["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "me:pässword"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"bell\x07", b"\xff\xfe", b"x" * 100_000])
def test_a_file_without_one_line_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    """No header can be injected, and the message names the file, not the content."""
    token = tmp_path / "token"
    token.write_bytes(content)
    with pytest.raises(CredentialsError) as caught:
        Authenticator(Credentials(bearer_token_file=token), https=False).headers()
    assert str(caught.value) == f"{token} does not hold one line of text"


async def test_a_missing_token_file_costs_one_scrape(probe: MakeProbe, tmp_path: Path) -> None:
    """The target is not asked without its token; the file is named."""

    async def handler(_request: web.Request) -> web.Response:
        raise AssertionError("asked without a token")

    async with serve(handler) as url:
        scraping = probe(url, credentials=Credentials(bearer_token_file=tmp_path / "none"))
        failure = await scraping.failure()
    assert failure.reason == "credentials"
    assert failure.detail == f"cannot read {tmp_path / 'none'}: No such file or directory"


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    """What holds the way to a secret shows the way only, also after it has read it."""
    token = tmp_path / "token"
    token.write_text("hunter2")
    credentials = Credentials(bearer_token_file=token)
    authenticator = Authenticator(credentials, https=False)
    authenticator.headers()
    target = Target("t", "http://localhost:8000", credentials=credentials)
    assert "hunter2" not in repr(authenticator) + repr(credentials) + repr(target)


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    """A scrape a second does not read the disk each time; a same-size rewrite is seen all the same."""
    token = tmp_path / "token"
    token.write_text("hunter2")
    authenticator = Authenticator(Credentials(bearer_token_file=token), https=False)
    assert authenticator.headers() == authenticator.headers()
    token.write_text("hunter3")
    os.utime(token, ns=(1, 1))
    assert authenticator.headers() == {"Authorization": "Bearer hunter3"}


def test_targets_with_the_same_certificates_share_their_settings() -> None:
    """To make them takes tens of milliseconds of the event loop, and most of a megabyte, for each of a thousand."""
    one, other = (Authenticator(Credentials(insecure_skip_verify=True), https=True).tls() for _ in range(2))
    assert one is other
    assert Authenticator(Credentials(), https=True).tls() is True
