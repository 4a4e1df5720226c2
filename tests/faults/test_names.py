"""Name servers that do not answer: only targets whose names are not known suffer, and only until they answer."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell import lookups as lookups_module
from kvwatch.shell.lookups import HangingLookupError, Lookups
from kvwatch.shell.scrape.client import Client, Target, new_session
from kvwatch.shell.scrape.scraper import Scraper
from tests.daemon.test_signals import kvwatch
from tests.shell.conftest import expositions, serve, text_response


@dataclass
class NameServer:
    """Answers with the loopback address, or not at all, or that there is no such name."""

    hangs: bool = False
    missing: bool = False
    unreachable: bool = False
    asked: int = 0
    release: threading.Event = field(default_factory=threading.Event)

    def ask(self, _host: str, _port: None, **_more: object) -> list[Any]:
        """As getaddrinfo does, in a thread."""
        self.asked += 1
        if self.hangs:
            self.release.wait(60)
        if self.missing:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if self.unreachable:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A name server, and waits that are short for the test's sake."""
    monkeypatch.setattr(lookups_module, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(lookups_module, "STALE_WAIT_SECONDS", 0.05)
    server = NameServer()
    yield server
    server.release.set()


@asynccontextmanager
async def looking_up(names: NameServer) -> AsyncIterator[Lookups]:
    """Lookups by this server."""
    made = Lookups(names.ask)
    try:
        yield made
    finally:
        await made.close()


async def test_a_name_that_hangs_is_looked_up_once_at_a_time_and_says_so(names: NameServer) -> None:
    """Whoever asks meanwhile waits for the same lookup, and gets its result once there is one."""
    names.hangs = True
    async with looking_up(names) as lookups:
        for _ in range(3):
            with pytest.raises(HangingLookupError, match="name servers have not answered"):
                await lookups.addresses("slow")
        assert names.asked == 1
        names.release.set()
        assert (await lookups.addresses("slow"))[0][4] == ("127.0.0.1", 0)


@pytest.mark.parametrize("fault", ["hangs", "unreachable"])
async def test_known_addresses_stay_in_use_while_no_name_server_answers(names: NameServer, fault: str) -> None:
    """For a name that was known before, an outage of DNS is no outage."""
    async with looking_up(names) as lookups:
        known = await lookups.addresses("it")
        setattr(names, fault, True)
        assert await lookups.addresses("it") == known


async def test_a_name_that_is_gone_is_no_longer_known(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that there is no such name is believed at once, however late a crowded machine brings it."""
    monkeypatch.setattr(lookups_module, "STALE_WAIT_SECONDS", 60.0)
    async with looking_up(names) as lookups:
        await lookups.addresses("it")
        names.missing = True
        for _ in range(2):
            with pytest.raises(socket.gaierror, match="not known"):
                await lookups.addresses("it")


async def test_old_addresses_are_not_taken_for_ever(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some minutes an address may be somebody else's."""
    async with looking_up(names) as lookups:
        await lookups.addresses("it")
        names.hangs = True
        monkeypatch.setattr(lookups_module, "STALE_SECONDS", -1.0)
        with pytest.raises(HangingLookupError):
            await lookups.addresses("it")


async def test_threads_are_bounded_and_names_that_are_known_need_none(
    names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too many lookups hang, the next ones are refused at once, but for names that were known."""
    monkeypatch.setattr(lookups_module, "MOST_QUICK", 5)
    async with looking_up(names) as lookups:
        known = await lookups.addresses("known")
        names.hangs = True
        hanging = [asyncio.create_task(lookups.addresses(f"slow-{number}")) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(HangingLookupError, match="too many"):
            await lookups.addresses("another")
        assert await lookups.addresses("known") == known
        await asyncio.gather(*hanging, return_exceptions=True)
        assert names.asked == 6


async def test_what_is_remembered_is_bounded(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of targets that came and went are forgotten."""
    monkeypatch.setattr(lookups_module, "MOST_KNOWN", 10)
    async with looking_up(names) as lookups:
        for number in range(50):
            await lookups.addresses(f"pod-{number}")
        assert len(lookups._known) == 10


async def test_a_scrape_says_that_it_was_the_name(names: NameServer) -> None:
    """Not a timeout, and not a connection: the reason is `dns`, whether the name hangs or does not exist."""
    lookups = Lookups(names.ask)
    async with serve(answer) as url, new_session(lookups) as session:
        target = Target("t", f"http://vllm.test:{url.rpartition(':')[2]}")
        client = Client(session, target)
        scraper = Scraper(
            target, client, clock=lambda: 0.0, reader=ExpositionReader(), deliver=lambda _target, _fact: None
        )
        names.hangs = True
        fact = await scraper.scrape()
        assert isinstance(fact, ScrapeFailed)
        assert (fact.reason, fact.detail) == ("dns", "the name servers have not answered within 0.2 s")
        names.release.set()
        names.hangs, names.missing = False, True
        fact = await scraper.scrape()
        while isinstance(fact, Scrape):  # by the lookup that hung
            session.connector.clear_dns_cache()  # type: ignore[union-attr]
            fact = await scraper.scrape()
        assert (fact.reason, fact.detail) == ("dns", "Name or service not known")


async def answer(_request: web.Request) -> web.Response:
    """An exposition whose connection is not kept, so that the next one looks the name up again."""
    return text_response(expositions()[0], Connection="close")


HANGING = """
import socket, time
real = socket.getaddrinfo
def getaddrinfo(host, *args, **kwargs):
    if isinstance(host, str) and host.endswith(".hangs.test"):
        time.sleep(60)
    if host == "healthy.test":
        host = "127.0.0.1"
    return real(host, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""


async def test_forty_names_that_hang_take_no_healthy_target_down_and_do_not_delay_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real process: more of them than the event loop's own threads for such work."""
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with serve(answer) as url:
        port = url.rpartition(":")[2]
        targets = [f"http://healthy.test:{port}", *(f"http://{number}.hangs.test:{port}" for number in range(40))]
        arguments = [part for target in targets for part in ("--target", target)]
        with kvwatch(tmp_path, *arguments, "--interval", "300ms") as process:
            await asyncio.to_thread(process.wait_for, "target_up", target=f"healthy.test:{port}")
            down = await asyncio.to_thread(process.wait_for, "target_down", target=f"39.hangs.test:{port}")
            assert down["reason"] == "dns"
            await asyncio.sleep(3.0)
            events = process.log()
            assert [e for e in events if e["event"] == "target_down" and e["target"] == f"healthy.test:{port}"] == []
            began = time.monotonic()
            assert await asyncio.to_thread(process.end, signal.SIGTERM) == 0
            assert time.monotonic() - began < 15  # the hanging lookups take a minute
