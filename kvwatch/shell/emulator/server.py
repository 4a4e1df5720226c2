"""Serves an emulated vLLM engine over HTTP in wall-clock time: ``/metrics`` and the few other paths a client asks for.

The engine is put under load by its scenario, from within the process, so that nothing else is needed to watch it; a
client may send completions besides. Everything is kept to the loopback address unless told otherwise.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from aiohttp import web

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import CONTENT_TYPE, render
from kvwatch.embedded.request import ABORTED
from kvwatch.embedded.step_clock import StepClock
from kvwatch.shell.emulator.completions import BadRequestError, answer, error_body, parse_completion
from kvwatch.shell.emulator.recording import request_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kvwatch.embedded.request import Request
    from kvwatch.embedded.scenarios import Scenario

VERSION = "0.32.0"
"""The vLLM release whose behaviour is emulated."""
LONGEST_PAUSE_SECONDS = 0.1
SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_LEAP_SECONDS = 1.0
"""Engine time computed in one go before other tasks get their turn."""
MOST_COMPLETIONS = 1024
"""Completions from outside that may be in flight; more are refused with status 503."""
LARGEST_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve and where.

    Attributes:
        scenario: The engine and its traffic.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        seed: Of the traffic and of the steps.
        speed: The hardware and the load are this many times faster than the scenario's own.
        model_name: Name of the served model.
        request_log: File to which each ended request is appended, one JSON object a line.
        traffic: Whether the scenario's own requests come; without, only completions from outside.
    """

    scenario: Scenario
    host: str = "127.0.0.1"
    port: int = 8000
    seed: int = 0
    speed: float = 1.0
    model_name: str = "emulated"
    request_log: Path | None = None
    traffic: bool = True
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        """Refuse a speed that the process could not keep up with.

        Raises:
            ValueError: The speed is not within 0.01 and 100.
        """
        if not 0.01 <= self.speed <= 100:
            raise ValueError(f"speed is {self.speed}; it must be from 0.01 to 100")


class EngineServer:
    """One engine and its HTTP server; use as an asynchronous context manager."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        scenario = options.scenario if options.speed == 1 else options.scenario.sped_up(options.speed)
        self._unix_offset = time.time() - options.clock()
        start = self._now()
        if options.traffic:
            self.engine = scenario.engine(seed=options.seed, start=start)
        else:
            steps = StepClock(scenario.law, scenario.texture, seed=options.seed)
            self.engine = Engine(scenario.settings, steps, start=start)
        self._pending: dict[int, asyncio.Future[Request]] = {}
        self._files = ExitStack()
        self._log: IO[bytes] | None = None
        self._runner: web.AppRunner | None = None
        self._driver: asyncio.Task[None] | None = None
        self.port = options.port

    async def __aenter__(self) -> EngineServer:
        """Start serving.

        Raises:
            OSError: The address is taken, or the request log cannot be written.
        """
        if self._options.request_log is not None:
            self._log = self._files.enter_context(self._options.request_log.open("ab"))
        try:
            runner = web.AppRunner(
                self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
            )
            self._runner = runner
            await runner.setup()
            await web.TCPSite(runner, self._options.host, self._options.port).start()
        except OSError:
            await self.__aexit__()
            raise
        self.port = runner.addresses[0][1]
        self._driver = asyncio.create_task(self._drive())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving."""
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self._files.close()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health", self._health),
                web.get("/version", self._version),
                web.get("/v1/models", self._models),
                web.get("/server_info", self._server_info),
                web.post("/v1/completions", self._completions),
            ]
        )
        return app

    def _now(self) -> float:
        """Unix time that no clock adjustment turns back."""
        return self._options.clock() + self._unix_offset

    @property
    def behind_seconds(self) -> float:
        """How far the engine's time is behind the clock [s]: more than a tenth where the machine cannot keep it up."""
        return max(self._now() - self.engine.now, 0.0)

    async def _drive(self) -> None:
        """Keep the engine's time at the wall clock's, for ever."""
        while True:
            while self._now() - self.engine.now > LONGEST_LEAP_SECONDS:
                self._catch_up()
                await asyncio.sleep(0)
            self._catch_up()
            pause = min(self.engine.wake - self._now(), LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(max(pause, SHORTEST_PAUSE_SECONDS))

    def _catch_up(self) -> None:
        """Run the engine towards the present, log what ended and answer who waits for it."""
        until = min(self._now(), self.engine.now + LONGEST_LEAP_SECONDS)
        if until > self.engine.now:
            self.engine.advance(until)
        ended = self.engine.take_ended()
        for request in ended:
            if self._log is not None:
                self._log.write(request_line(request))
            future = self._pending.pop(request.identity, None)
            if future is not None and not future.done():
                future.set_result(request)
        if ended and self._log is not None:
            self._log.flush()

    async def _metrics(self, _: web.Request) -> web.Response:
        self._catch_up()
        text = render(self.engine, model_name=self._options.model_name)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _models(self, _: web.Request) -> web.Response:
        card = {
            "id": self._options.model_name,
            "object": "model",
            "created": int(self.engine.started),
            "owned_by": "vllm",
            "root": self._options.model_name,
            "parent": None,
            "max_model_len": self.engine.settings.max_model_len,
        }
        return web.json_response({"object": "list", "data": [card]})

    async def _server_info(self, _: web.Request) -> web.Response:
        settings = self.engine.settings
        scheduler = {
            "max_num_seqs": settings.max_num_seqs,
            "max_num_batched_tokens": settings.max_num_batched_tokens,
            "max_model_len": settings.max_model_len,
            "long_prefill_token_threshold": 0,
            "enable_chunked_prefill": True,
            "async_scheduling": False,
            "scheduler_reserve_full_isl": settings.reserve_full_sequence,
            "watermark": settings.watermark_ratio,
        }
        cache = {
            "block_size": settings.block_size_tokens,
            "num_gpu_blocks": settings.num_blocks,
            "enable_prefix_caching": settings.enable_prefix_caching,
        }
        model = {"model": self._options.model_name, "max_model_len": settings.max_model_len}
        config = {"model_config": model, "cache_config": cache, "scheduler_config": scheduler}
        return web.json_response({"vllm_config": config})

    async def _completions(self, http: web.Request) -> web.Response:
        if len(self._pending) >= MOST_COMPLETIONS:
            return web.json_response(error_body("too many requests in flight", 503), status=503)
        try:
            shape = parse_completion(await http.read(), self._options.model_name)
            self._catch_up()
            request = self.engine.submit(shape)
        except BadRequestError as error:
            return web.json_response(error_body(str(error), error.status), status=error.status)
        except ValueError as error:
            return web.json_response(error_body(str(error), 400), status=400)
        future = asyncio.get_running_loop().create_future()
        self._pending[request.identity] = future
        try:
            ended = await future
        except asyncio.CancelledError:
            self.engine.abort(request)
            self._pending.pop(request.identity, None)
            raise
        if ended.state == ABORTED:
            return web.json_response(error_body("the engine dropped the request", 500), status=500)
        return web.json_response(answer(ended, self._options.model_name))


async def serve(
    options: ServeOptions,
    *,
    stop: asyncio.Event | None = None,
    started: Callable[[EngineServer], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; without it, until SIGTERM or SIGINT.

    Args:
        options: What and where.
        stop: Ends the server when set.
        started: Called once the server listens; its ``port`` is then the real one.

    Raises:
        OSError: The address is taken, or the request log cannot be written.
    """
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with EngineServer(options) as server:
        if started is not None:
            started(server)
        await stop.wait()
