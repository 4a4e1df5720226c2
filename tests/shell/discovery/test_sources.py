"""Files, HTTP endpoints and DNS as sources of targets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiohttp import web

from kvwatch.shell.discovery import DnsSource, FilesSource, Found, HttpSource, Source, groups
from kvwatch.shell.discovery.found import SourceError
from kvwatch.shell.discovery.groups import MAX_YAML_BYTES, Listing, read_json, read_yaml
from kvwatch.shell.scrape.client import new_session
from kvwatch.shell.scrape.credentials import Credentials


@dataclass
class Seen:
    """What a source has told so far."""

    found: list[tuple[Found, ...]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    left_out: int = 0
    failures: list[str] = field(default_factory=list)

    def addresses(self) -> list[str]:
        """The targets of the last delivery."""
        return [one.address for one in self.found[-1]] if self.found else []

    def deliver(self, found: tuple[Found, ...], *, whole: bool = True, left_out: int = 0) -> None:
        """Take a delivery."""
        self.found.append(found)
        self.whole.append(whole)
        self.left_out = left_out

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it is as described; fails after half a minute."""
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 - a source has no event to wait for
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(source: Source) -> AsyncIterator[Seen]:
    """A source that runs, and what it tells."""
    seen = Seen()
    task = asyncio.create_task(source.run(seen.deliver, seen.failures.append))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


GROUPS = [
    {"targets": ["a:8000", "b:8000"], "labels": {"role": "prefill", "team": "x", "__scheme__": "https"}},
    {"targets": ["[::1]:9000"]},
]


def test_json_and_yaml_say_the_same() -> None:
    """Both spellings of target groups are read, and labels that kvwatch does not use are left out."""
    expected = [
        Found("a:8000", "a:8000", (("__scheme__", "https"), ("role", "prefill"))),
        Found("b:8000", "b:8000", (("__scheme__", "https"), ("role", "prefill"))),
        Found("[::1]:9000", "[::1]:9000"),
    ]
    assert read_json(json.dumps(GROUPS).encode()) == Listing(expected)
    assert read_yaml(json.dumps(GROUPS).encode()) == Listing(expected)
    (one,) = read_yaml(b"- targets:\n  - a:1\n  labels: {max_num_seqs: '64'}\n").found
    assert one.labels == (("max_num_seqs", "64"),)
    assert read_yaml(b"# nothing yet\n") == Listing([])


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[1]",
        b'[{"targets": "a:1"}]',
        b'[{"targets": [1]}]',
        b'[{"labels": {}}]',
        b"\xff",
        b"[" * 100_000,
        b"",
        b'[{"targets":["a"],"labels":{"x":1}}]',
    ],
)
def test_what_is_no_list_of_groups_is_refused(content: bytes) -> None:
    """A document of another shape is a fault with words, in JSON and, as far as it differs from nothing, in YAML."""
    with pytest.raises(SourceError, match="target groups"):
        read_json(content)
    if content:
        with pytest.raises(SourceError, match="target groups"):
            read_yaml(content)


def test_yaml_that_grows_is_refused() -> None:
    """Aliases, with which a file of a few bytes is billions of values, are not taken."""
    with pytest.raises(SourceError, match="aliases"):
        read_yaml(b"- targets: &a [x:1]\n- targets: *a\n")


def test_of_a_list_that_is_too_long_the_first_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how many are left out is told; YAML, which is slow, may not be that long at all."""
    monkeypatch.setattr(groups, "MOST_TARGETS", 4)
    content = json.dumps([{"targets": ["a:1", "a:2", "a:3"]}, {"targets": ["b:1", "b:2", "b:3"]}, {"targets": ["c:1"]}])
    listing = read_json(content.encode())
    assert [one.address for one in listing.found] == ["a:1", "a:2", "a:3", "b:1"]
    assert listing.left_out == 3
    assert read_yaml(content.encode()) == listing
    with pytest.raises(SourceError, match=r"write it as \.json"):
        read_yaml(b"#" * (MAX_YAML_BYTES + 1))


async def test_files_that_are_too_long_together_are_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source has a limit as one file has, and tells how many targets it does not read."""
    monkeypatch.setattr(groups, "MOST_TARGETS", 4)
    monkeypatch.setattr("kvwatch.shell.discovery.files.MOST_TARGETS", 5)
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps([{"targets": [f"{name}:{n}" for n in range(1, 7)]}]))
    async with running(FilesSource([str(tmp_path / "*.json")], 0.02)) as seen:
        await seen.until(lambda: seen.addresses() == ["a:1", "a:2", "a:3", "a:4", "b:1"])
        assert seen.left_out == 7


async def test_a_file_that_is_mended_is_told_of_though_its_targets_are_the_same(tmp_path: Path) -> None:
    """So that the source counts as failing no longer; before that a delivery is not whole."""
    path = tmp_path / "one.json"
    good = '[{"targets": ["a:1"]}]'
    path.write_text(good)
    async with running(FilesSource([str(tmp_path / "*.json")], 0.02)) as seen:
        await seen.until(lambda: seen.whole == [True])
        path.write_text(good[:5])
        await seen.until(lambda: bool(seen.failures))
        (tmp_path / "two.json").write_text('[{"targets": ["b:1"]}]')
        await seen.until(lambda: seen.whole == [True, False])
        path.write_text(good)
        await seen.until(lambda: seen.whole == [True, False, True])
        assert seen.found[1] == seen.found[2]


async def test_files_are_followed(tmp_path: Path) -> None:
    """Files that appear, change and go are seen; a broken one keeps its targets until it is mended."""
    first, second = tmp_path / "one.json", tmp_path / "two.yml"
    first.write_text('[{"targets": ["a:1"]}]')
    async with running(FilesSource([str(tmp_path / "*.json"), str(tmp_path / "*.yml")], 0.02)) as seen:
        await seen.until(lambda: seen.addresses() == ["a:1"])
        second.write_text("- targets: [b:1, c:1]\n")
        await seen.until(lambda: seen.addresses() == ["a:1", "b:1", "c:1"])
        second.write_text("- targets: [b:1, c:1\n")
        await seen.until(lambda: bool(seen.failures))
        assert "two.yml" in seen.failures[0]
        assert seen.addresses() == ["a:1", "b:1", "c:1"]
        first.unlink()
        await seen.until(lambda: seen.addresses() == ["b:1", "c:1"])
        second.write_text("- targets: [d:1]\n")
        await seen.until(lambda: seen.addresses() == ["d:1"])


def test_a_file_that_is_being_written_is_read_when_it_rests(tmp_path: Path) -> None:
    """Emptied or half-written YAML is a list too, and would end watches for nothing."""
    path = tmp_path / "one.yml"
    whole = "- targets: [a:1]\n- targets: [b:1]\n"
    path.write_text(whole)
    source = FilesSource([str(path)], 5.0)
    assert source._look() == (True, [])
    for content in ("", whole[:17], whole):
        path.write_text(content)
        assert source._look() == (False, [])
    assert source._look() == (False, [])
    path.write_text("")
    assert [source._look() for _ in range(3)] == [(False, []), (True, []), (False, [])]


async def test_a_file_behind_a_link_that_is_swapped_is_read_again(tmp_path: Path) -> None:
    """A ConfigMap is a link that moves to another folder; the file's own path never changes."""
    for name, host in (("old", "a:1"), ("new", "b:1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "targets.json").write_text(json.dumps([{"targets": [host]}]))
    (tmp_path / "data").symlink_to("old")
    async with running(FilesSource([str(tmp_path / "data" / "targets.json")], 0.02)) as seen:
        await seen.until(lambda: seen.addresses() == ["a:1"])
        (tmp_path / "swap").symlink_to("new")
        (tmp_path / "swap").rename(tmp_path / "data")
        await seen.until(lambda: seen.addresses() == ["b:1"])


async def test_an_endpoint_is_asked_as_prometheus_asks(tmp_path: Path) -> None:
    """Its headers are those of http_sd, the token rotates, and faulty answers keep the targets there were."""
    token = tmp_path / "token"
    token.write_text("one")
    asked: list[web.Request] = []
    answers: list[web.Response] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)

    good = web.json_response([{"targets": ["a:1"], "labels": {"role": "decode"}}])
    answers += [good, web.Response(text="[]"), web.Response(status=500), web.json_response({}), web.json_response([])]
    app = web.Application()
    app.router.add_get("/sd", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/sd?team=x"
    access = Credentials(bearer_token_file=token)
    async with new_session() as session, running(HttpSource(session, url, access, 0.05)) as seen:
        await seen.until(lambda: len(seen.found) == 1)
        token.write_text("two!")
        await seen.until(lambda: len(seen.failures) == 3 and len(seen.found) > 1)
    await runner.cleanup()
    assert seen.found[0] == (Found("a:1", "a:1", (("role", "decode"),)),)
    assert seen.found[1] == ()
    assert "text/plain" in seen.failures[0]
    assert "500" in seen.failures[1]
    assert "target groups" in seen.failures[2]
    assert asked[0].headers["X-Prometheus-Refresh-Interval-Seconds"] == "0.05"
    assert asked[0].headers["Accept"] == "application/json"
    assert asked[0].query_string == "team=x"
    assert [asked[i].headers["Authorization"] for i in (0, -1)] == ["Bearer one", "Bearer two!"]


class FakeDns(asyncio.DatagramProtocol):
    """A name server: records by (name, type); a missing name does not exist, an empty list has no records."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.ttl = 30
        self.broken = False
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer."""
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        records = self.zone.get((question.name.to_text(), kind))
        if self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records:
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *records))
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[FakeDns, Callable[[], dns.asyncresolver.Resolver]]]:
    """A name server, and what makes resolvers that ask it."""
    loop = asyncio.get_running_loop()
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind(("127.0.0.1", 0))
    transport, server = await loop.create_datagram_endpoint(FakeDns, sock=own)

    def resolver() -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.port = own.getsockname()[1]
        made.nameservers = ["127.0.0.1"]
        return made

    try:
        yield server, resolver
    finally:
        transport.close()


async def test_a_headless_service_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its addresses are targets with the configured port; none left is none, but a name that fails keeps its own."""
    monkeypatch.setattr("kvwatch.shell.discovery.dns._SHORTEST_SECONDS", 0.01)
    async with name_server() as (server, resolver):
        server.zone["vllm.test.", "A"] = ["10.0.0.2", "10.0.0.1"]
        async with running(DnsSource(["vllm.test."], "A", 8000, 0.05, resolver)) as seen:
            await seen.until(lambda: seen.addresses() == ["10.0.0.1:8000", "10.0.0.2:8000"])
            server.broken = True
            await seen.until(lambda: bool(seen.failures))
            assert seen.addresses() == ["10.0.0.1:8000", "10.0.0.2:8000"]
            server.broken = False
            server.zone["vllm.test.", "A"] = []
            await seen.until(lambda: seen.addresses() == [])
            del server.zone["vllm.test.", "A"]
            failures = len(seen.failures)
            await seen.until(lambda: len(seen.failures) > failures)
            assert "vllm.test" in seen.failures[-1]


async def test_other_records_and_one_name_that_fails() -> None:
    """SRV records bring their own port, AAAA records are put in brackets; one bad name does not hide the good one.

    An SRV record may say that there is no server, by "." or by port 0.
    """
    async with name_server() as (server, resolver):
        records = ["0 1 8001 b.test.", "0 1 8000 a.test.", "0 0 0 .", "0 1 0 no-port.test."]
        server.zone["_http._tcp.vllm.test.", "SRV"] = records
        server.zone["vllm.test.", "AAAA"] = ["fd00::1"]
        async with running(DnsSource(["_http._tcp.vllm.test."], "SRV", 1, 60.0, resolver)) as seen:
            await seen.until(lambda: seen.addresses() == ["a.test:8000", "b.test:8001"])
        async with running(DnsSource(["no.test.", "vllm.test."], "AAAA", 8000, 60.0, resolver)) as seen:
            await seen.until(lambda: seen.addresses() == ["[fd00::1]:8000"])
            assert len(seen.failures) == 1
            assert seen.whole == [False]


async def test_records_are_looked_up_again_when_they_have_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time to live that is shorter than the interval counts, down to a floor."""
    pauses: list[float] = []

    async with name_server() as (server, resolver):

        async def sleep(seconds: float) -> bool:
            pauses.append(seconds)
            server.ttl = 0
            await asyncio.sleep(0 if len(pauses) == 1 else 60)
            return False

        monkeypatch.setattr("kvwatch.shell.discovery.dns.sleep", sleep)
        server.zone["vllm.test.", "A"] = ["10.0.0.1"]
        server.ttl = 7
        async with running(DnsSource(["vllm.test."], "A", 8000, 30.0, resolver)) as seen:
            await seen.until(lambda: len(pauses) == 2)
    assert pauses == [7.0, 5.0]
