"""Questions to a server that speaks as Prometheus does, and to some that do not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from kvwatch.shell.prometheus import api as module
from kvwatch.shell.prometheus import history
from kvwatch.shell.prometheus.api import Api, PrometheusError, Server, TooMuchError
from kvwatch.shell.scrape.credentials import Credentials

Handler = Callable[[web.Request], Awaitable[web.Response]]
FAST = {"queries_per_second": 1000.0, "timeout_seconds": 5.0}


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two attempts are as short as can be."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SECONDS", 0.002)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that answers everything with one function."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answer(data: object) -> web.Response:
    """An answer of a Prometheus."""
    return web.json_response({"status": "success", "data": data})


def refusal(words: str, status: int = 422) -> web.Response:
    """An error of a Prometheus."""
    return web.json_response({"status": "error", "errorType": "execution", "error": words}, status=status)


async def test_an_answer_is_read_also_where_it_is_packed() -> None:
    """Prometheus packs its answers for those who take it."""

    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        body = gzip.compress(orjson.dumps({"status": "success", "data": [1, 2]}))
        return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        assert await api.ask("/api/v1/query", query="x") == [1, 2]


async def test_who_takes_no_posts_is_asked_by_get() -> None:
    """Proxies that let nobody write refuse POST; the question is the same."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.method)
        return answer(request.query["query"]) if request.method == "GET" else web.Response(status=405)

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        assert await api.ask("/api/v1/query", query="x{a='b'}") == "x{a='b'}"
        assert await api.ask("/api/v1/query", query="y") == "y"
    assert seen == ["POST", "GET", "GET"]


async def test_what_fails_for_a_moment_is_asked_again() -> None:
    """Too many requests, a gateway that restarts: the question is repeated, not the run given up."""
    statuses = iter((429, 503, 502))

    async def handler(_: web.Request) -> web.Response:
        status = next(statuses, 200)
        return answer("there") if status == 200 else web.Response(status=status, headers={"Retry-After": "0"})

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        assert await api.ask("/api/v1/query", query="x") == "there"


async def test_who_is_asked_too_often_is_asked_again_later() -> None:
    """A limit on the rate is none on the question, whatever words it comes with."""
    answers = iter([refusal("rate limit exceeded: too many points a second", 429)])

    async def handler(_: web.Request) -> web.Response:
        return next(answers, None) or answer("there")

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        assert await api.ask("/api/v1/query", query="x") == "there"


async def test_what_goes_on_failing_ends_with_what_it_said() -> None:
    """After some attempts the last words of the server are the error's."""

    async def handler(_: web.Request) -> web.Response:
        return refusal("the store is on fire", 503)

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        with pytest.raises(PrometheusError, match=r"503: the store is on fire \(6 attempts\)"):
            await api.ask("/api/v1/query", query="x")


@pytest.mark.parametrize(
    "words",
    [
        "query processing would load too many samples into memory in query execution",
        "exceeded maximum resolution of 11,000 points per timeseries",
        "query timed out in expression evaluation",
    ],
)
async def test_what_is_too_much_is_said_to_be(words: str) -> None:
    """So that whoever asks asks for less; asking the same again would help nobody."""
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return refusal(words)

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        with pytest.raises(TooMuchError, match=words[:20]):
            await api.ask("/api/v1/query", query="x")
    assert len(asked) == 1


async def test_who_takes_too_long_was_asked_for_too_much() -> None:
    """A limit of ours on the time is one on the question."""

    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return answer(None)

    slow = Server("", timeout_seconds=0.05, queries_per_second=1000.0)
    async with serving(handler) as url, Api(Server(url, **{**FAST, "timeout_seconds": slow.timeout_seconds})) as api:
        with pytest.raises(TooMuchError, match=r"no answer within 0\.05 s"):
            await api.ask("/api/v1/query", query="x")


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (lambda: web.Response(status=401), "give --bearer-token-file"),
        (lambda: web.Response(status=403), "give --bearer-token-file"),
        (lambda: web.Response(status=302, headers={"Location": "/login"}), "the address that it redirects to"),
        (lambda: web.Response(text="<html>"), "not as a Prometheus does; give its base address"),
        (lambda: web.Response(status=404, text="404 page not found"), "HTTP 404"),
        (lambda: refusal("parse error: unexpected character", 400), "parse error"),
    ],
)
async def test_what_cannot_succeed_ends_at_once_with_what_to_do(
    response: Callable[[], web.Response], words: str
) -> None:
    """One question, one clear message."""
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        return response()

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        with pytest.raises(PrometheusError, match=words) as raised:
            await api.ask("/api/v1/query", query="x")
    assert not isinstance(raised.value, TooMuchError)
    assert len(asked) == 1


async def test_nobody_there_is_said_at_once() -> None:
    """An address at which nothing listens is a mistake, and no reason to wait."""
    async with Api(Server("http://127.0.0.1:1", **FAST)) as api:
        with pytest.raises(PrometheusError, match=r"http://127\.0\.0\.1:1: .*refused|Connect call failed"):
            await api.ask("/api/v1/query", query="x")


async def test_a_server_that_spells_its_metrics_in_two_ways_is_asked_for_both() -> None:
    """A gateway under one address shows engines of its own beside what it passes on."""
    names = ("ray_vllm:num_requests_running", "vllm:num_requests_running")
    asked = []

    async def handler(request: web.Request) -> web.Response:
        if request.path.endswith("series"):
            shown = [(names[0], "a"), (names[1], "b")]
            return answer([{"__name__": name, "instance": "x", "model_name": model} for name, model in shown])
        asked.append(request.query.get("query") or (await request.post())["query"])
        return answer({"resultType": "matrix", "result": []})

    async with serving(handler) as url, Api(Server(url, **FAST)) as api:
        (found,) = await history.find_targets(api, (), 0.0, 100.0)
        assert (found.anchors, found.models, found.engines) == (names[::-1], ("a", "b"), 2)
        assert [series async for _, _, series in history.windows(api, found, 0.0, 50.0, 5.0)] == [[]]
    assert all(name in query for query in asked for name in names)


async def test_credentials_and_headers_go_with_every_question(tmp_path: Path) -> None:
    """The token is read from its file, a header for the tenant is sent as it was given."""
    token = tmp_path / "token"
    token.write_text("secret\n")

    async def handler(request: web.Request) -> web.Response:
        return answer([request.headers["Authorization"], request.headers["X-Scope-OrgID"]])

    async with serving(handler) as url:
        server = Server(url, Credentials(bearer_token_file=token), headers={"X-Scope-OrgID": "team"}, **FAST)
        async with Api(server) as api:
            assert await api.ask("/api/v1/query", query="x") == ["Bearer secret", "team"]


async def test_a_token_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    """And never what is in it."""
    server = Server("http://127.0.0.1:1", Credentials(bearer_token_file=tmp_path / "none"), **FAST)
    async with Api(server) as api:
        with pytest.raises(PrometheusError, match=r"cannot read .*none"):
            await api.ask("/api/v1/query", query="x")


async def test_questions_come_no_faster_than_allowed() -> None:
    """At a hundred a second, six questions are spread over at least fifty milliseconds."""
    at = []

    async def handler(_: web.Request) -> web.Response:
        at.append(asyncio.get_running_loop().time())
        return answer(None)

    limited = {**FAST, "queries_per_second": 100.0}
    async with serving(handler) as url, Api(Server(url, **limited)) as api:
        await asyncio.gather(*(api.ask("/api/v1/query", query=str(i)) for i in range(6)))
    assert at[-1] - at[0] >= 0.04  # five pauses of 10 ms, less what the first question took longer
