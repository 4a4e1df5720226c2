"""A real vLLM with ``--otlp-traces-endpoint`` sends its spans to the real daemon: each request once, exactly.

Between the two stands a relay that passes every export on unchanged and keeps a copy. It loses the answers to the first
few, after the daemon has them: so vLLM's exporter sends those again, as after a broken connection.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import aiohttp
import pytest
from aiohttp import web

from kvwatch.parse.otlp.protobuf import read_protobuf
from kvwatch.parse.otlp.spans import REQUEST_SPAN, AttributeKeys
from kvwatch.queueing.demand import request_demand
from tests.vllm.daemon import Daemon, Reading, parse
from tests.vllm.load import ANSWERED, Ledger, PoissonLoad, dealt_lengths, uniform_pool
from tests.vllm.model import TINY
from tests.vllm.server import ServerSettings, VllmServer, free_port, vllm_python

pytestmark = pytest.mark.vllm

SETTINGS = ServerSettings(TINY, "tiny", blocks=512, seats=64)
REQUESTS = 200
LOST_ANSWERS = 2
EXPORTERS = (("http", "none"), ("http", "gzip"), ("grpc", "none"), ("grpc", "gzip"))
SPANS_EACH = 150

CONFIG = """\
server: {{listen: "127.0.0.1:{port}"}}
estimates: {{demand_window: 30m}}
traces: {{enabled: true, grpc_listen: "127.0.0.1:{grpc}"}}
targets: [{{url: "{vllm}"}}]
"""


@dataclass
class Story:
    """What was sent, what went by, and what kvwatch said."""

    ledger: Ledger = field(default_factory=Ledger)
    bodies: list[bytes] = field(default_factory=list)
    lost: int = 0
    after_vllm: Reading | None = None
    after_exporters: list[Reading] = field(default_factory=list)
    exit_code: int | None = None


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, told once; about two minutes."""
    python = vllm_python()
    if python is None:
        pytest.skip("no real vLLM here: run `make setup-vllm`")
    return asyncio.run(tell(python, tmp_path_factory.mktemp("traces")))


async def tell(python: Path, folder: Path) -> Story:
    """Live through it; leaves no process behind, however it ends."""
    story = Story()
    port, grpc_port, relay_port = free_port(), free_port(), free_port()
    endpoint = f"http://127.0.0.1:{relay_port}/v1/traces"
    variables = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    server = VllmServer(python, SETTINGS, folder, ["--otlp-traces-endpoint", endpoint], variables)
    config = folder / "kvwatch.yaml"
    config.write_text(CONFIG.format(port=port, grpc=grpc_port, vllm=server.url))
    daemon = Daemon(port, folder / "kvwatch.log", ["--config", str(config)])
    relay = await start_relay(story, relay_port, f"{daemon.url}/v1/traces")
    try:
        await asyncio.to_thread(server.start)
        load = PoissonLoad(server.url, SETTINGS.name, dealt_lengths(uniform_pool(8, 64, 40, seed=3), 1), story.ledger)
        await load.send(REQUESTS, at_a_time=16)
        story.after_vllm = await settled(daemon, lambda reading: ingested(reading) >= REQUESTS)
        for number, (protocol, compression) in enumerate(EXPORTERS, 1):
            to = f"http://127.0.0.1:{grpc_port}" if protocol == "grpc" else f"{daemon.url}/v1/traces"
            await asyncio.to_thread(export, python, protocol, to, compression)
            expected = REQUESTS + number * SPANS_EACH
            story.after_exporters.append(await settled(daemon, lambda r, e=expected: ingested(r) >= e, seconds=20.0))
    finally:
        story.exit_code = daemon.stop()
        await relay.cleanup()
        server.stop()
    return story


async def start_relay(story: Story, port: int, to: str) -> web.AppRunner:
    """Listen, and pass exports on."""

    async def relay(request: web.Request) -> web.Response:
        body = await request.read()
        story.bodies.append(body)
        headers = {name: request.headers[name] for name in ("Content-Type",)}
        async with aiohttp.ClientSession() as session, session.post(to, data=body, headers=headers) as answer:
            if REQUEST_SPAN.encode() in body and story.lost < LOST_ANSWERS:
                story.lost += 1
                return web.Response(status=503)
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/traces", relay)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def export(python: Path, protocol: str, endpoint: str, compression: str) -> None:
    """OpenTelemetry's exporter, in vLLM's own environment."""
    script = Path(__file__).with_name("exporter.py")
    command = [str(python), str(script), protocol, endpoint, compression, str(SPANS_EACH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def ingested(reading: Reading) -> float:
    """Requests learnt of from traces."""
    return reading.get("kvwatch_requests_ingested_total", source="otlp") or 0.0


async def settled(daemon: Daemon, reached: Callable[[Reading], bool], seconds: float = 60.0) -> Reading:
    """What kvwatch says some seconds after it has said that: more would have come by then."""
    async with aiohttp.ClientSession() as session:

        async def read() -> Reading:
            async with session.get(f"{daemon.url}/metrics") as answer:
                return parse(time.time(), time.time(), await answer.text())

        deadline = time.monotonic() + seconds
        while not reached(await read()) and time.monotonic() < deadline:  # noqa: ASYNC110 - the answer comes over HTTP
            await asyncio.sleep(0.2)
        await asyncio.sleep(8.0 if seconds >= 60 else 1.0)  # vLLM's exporter waits five seconds at most
        return await read()


def sent(story: Story) -> Counter[tuple[int, int]]:
    """The lengths of all requests that were answered."""
    return Counter((r.prompt_tokens, r.completion_tokens) for r in story.ledger.requests if r.status == ANSWERED)


def test_every_request_was_answered(story: Story) -> None:
    """So that there is a span for each."""
    assert sent(story).total() == REQUESTS


def test_every_request_is_counted_once(story: Story) -> None:
    """By the real daemon, from the real exporter, although some exports came twice."""
    assert story.after_vllm is not None
    assert ingested(story.after_vllm) == REQUESTS
    assert story.after_vllm.get("kvwatch_spans_total", result="request") == REQUESTS


def test_exports_that_came_twice_are_seen_as_that(story: Story) -> None:
    """The exporter did send again what it had no answer to."""
    assert story.after_vllm is not None
    assert story.lost == LOST_ANSWERS
    assert (story.after_vllm.get("kvwatch_spans_total", result="duplicate") or 0) > 0


def test_no_span_of_vllm_is_refused(story: Story) -> None:
    """Start-up spans are ignored; nothing is invalid, late or without a target."""
    assert story.after_vllm is not None
    for result in ("invalid", "late", "unassigned"):
        assert story.after_vllm.get("kvwatch_spans_total", result=result) == 0


def test_lengths_are_exact(story: Story) -> None:
    """The spans that went by, each once, are the requests that were sent: the same pairs of lengths, each as often."""
    seen: dict[bytes, tuple[int, int]] = {}
    for body in story.bodies:
        found = read_protobuf(body, AttributeKeys())
        assert found.refused is None
        seen |= {r.span: (r.record.prompt_tokens, r.record.completion_tokens) for r in found.requests}
    assert Counter(seen.values()) == sent(story)


def test_the_demand_is_that_of_the_requests(story: Story) -> None:
    """What the daemon makes of them is the mean memory-work of just these requests, to the digit."""
    assert story.after_vllm is not None
    work = [request_demand(s, o, SETTINGS.block_tokens, SETTINGS.budget_tokens) for s, o in sent(story).elements()]
    joint = story.after_vllm.get("kvwatch_request_demand_token_steps", method="joint")
    assert joint == pytest.approx(fmean(work), rel=1e-9)


@pytest.mark.parametrize("number", range(len(EXPORTERS)), ids=[" ".join(kind) for kind in EXPORTERS])
def test_the_real_exporter_is_understood(story: Story, number: int) -> None:
    """Over HTTP and gRPC, compressed and not: each adds its spans, once."""
    assert len(story.after_exporters) == len(EXPORTERS)
    assert ingested(story.after_exporters[number]) == REQUESTS + (number + 1) * SPANS_EACH


def test_the_daemon_ends_well(story: Story) -> None:
    """With both listeners open."""
    assert story.exit_code == 0
