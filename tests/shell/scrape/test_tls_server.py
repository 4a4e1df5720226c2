"""HTTPS targets: checked by default, with their own authority, with a client certificate."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

from aiohttp import web

from kvwatch.shell.scrape.credentials import Credentials
from tests.shell.conftest import TLS, MakeProbe, expositions, serve, text_response


def server_context(*, wants_client: bool = False) -> ssl.SSLContext:
    """The server's side, for localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    if wants_client:
        context.load_verify_locations(TLS / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def handler(_request: web.Request) -> web.Response:
    """The exposition."""
    return text_response(expositions()[0])


async def test_an_unknown_authority_is_refused(probe: MakeProbe) -> None:
    """Without a ca_file only the system's authorities are trusted."""
    async with serve(handler, server_context()) as url:
        failure = await probe(url).failure()
    assert failure.reason == "tls"
    assert "local issuer" in failure.detail


async def test_a_target_s_own_authority_is_trusted(probe: MakeProbe) -> None:
    """ca_file makes the same server acceptable."""
    async with serve(handler, server_context()) as url:
        await probe(url, credentials=Credentials(ca_file=TLS / "ca.crt")).success()


async def test_checking_can_be_switched_off(probe: MakeProbe) -> None:
    """insecure_skip_verify takes any certificate."""
    async with serve(handler, server_context()) as url:
        await probe(url, credentials=Credentials(insecure_skip_verify=True)).success()


async def test_a_certificate_for_another_name_is_refused(probe: MakeProbe) -> None:
    """The certificate must be the host's."""
    async with serve(handler, server_context()) as url:
        other = url.replace("127.0.0.1", "127.0.0.2")
        failure = await probe(other, credentials=Credentials(ca_file=TLS / "ca.crt")).failure()
    assert failure.reason in ("tls", "connection")


async def test_a_client_certificate_is_shown(probe: MakeProbe) -> None:
    """A server that wants one gets it; without one the scrape fails."""
    shown = Credentials(ca_file=TLS / "ca.crt", cert_file=TLS / "client.crt", key_file=TLS / "client.key")
    async with serve(handler, server_context(wants_client=True)) as url:
        await probe(url, credentials=shown).success()
        failure = await probe(url, credentials=Credentials(ca_file=TLS / "ca.crt")).failure()
    assert failure.reason in ("tls", "connection")


async def test_a_port_without_tls_is_a_tls_failure(probe: MakeProbe) -> None:
    """https:// against a plain server is named."""
    async with serve(handler) as url:
        failure = await probe(url.replace("http:", "https:")).failure()
    assert failure.reason == "tls"


async def test_certificate_files_may_rotate(probe: MakeProbe, tmp_path: Path) -> None:
    """A file that is wrong, then missing, then right is taken up without a restart."""
    ca = tmp_path / "ca.crt"
    ca.write_text("not a certificate")
    async with serve(handler, server_context()) as url:
        scraping = probe(url, credentials=Credentials(ca_file=ca))
        failure = await scraping.failure()
        assert (failure.reason, str(ca) in failure.detail) == ("credentials", True)
        ca.unlink()
        assert (await scraping.failure()).reason == "credentials"
        shutil.copy(TLS / "ca.crt", ca)
        await scraping.success()
