"""An engine made of arithmetic: Poisson arrivals, steps of a given length, and counters that fit together.

It knows no memory: whoever has a seat runs (M/G/∞ without seats). What it exposes follows vLLM's conventions: gauges
are those of the last step, the last prefill chunk emits the first token, steps that emit nothing are not counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.facts import CacheConfig, EngineKey, EngineSample, Histogram, RequestRecord, Scrape, Settings
from kvwatch.views import EngineView

START = 1_800_000_000.0
KEY = EngineKey("m", "0")
TARGET = "host:8000"
EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, math.inf)
SEATS_KNOWN = Settings(max_num_seqs=256, max_num_batched_tokens=2048, max_model_len=4096, source="config")


@dataclass(frozen=True)
class Ask:
    """A request that is yet to come: when [unix s], and its lengths [tokens]."""

    at: float
    prompt: int
    output: int


@dataclass(eq=False)
class Running:
    """A request inside, with the numbers of the steps that emit its first and its last token."""

    ask: Ask
    admitted: int
    first: int
    last: int


def poisson(
    rate: float | Callable[[float], float],
    seconds: float,
    seed: int = 1,
    lengths: Callable[[np.random.Generator], tuple[int, int]] = lambda rng: (
        int(rng.integers(20, 200)),
        int(rng.integers(10, 150)),
    ),
    start: float = START,
) -> list[Ask]:
    """Requests at ``rate`` [requests/s], or at a rate that depends on the seconds since ``start``."""
    rng = np.random.default_rng(seed)
    rates = rate if callable(rate) else lambda _: rate
    highest = max(rates(s) for s in np.linspace(0, seconds, 101))
    asks = []
    at = 0.0
    while highest > 0 and (at := at + float(rng.exponential(1 / highest))) < seconds:
        if rng.random() * highest < rates(at):
            asks.append(Ask(start + at, *lengths(rng)))
    return asks


@dataclass
class SyntheticEngine:
    """Runs requests step by step; :meth:`advance` moves its time, :meth:`sample` shows its numbers."""

    asks: list[Ask]
    step_seconds: float = 0.02
    seats: int | None = None
    chunk: int = 2048
    block: int = 16
    kv_tokens: int = 32_000
    now: float = START
    records: list[RequestRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Everything empty."""
        self.coming = deque(self.asks)
        self.waiting: deque[Ask] = deque()
        self.running: dict[Running, None] = {}
        self.step = 0
        self.restart()

    def restart(self) -> None:
        """A new server process: what was inside is gone, counters start from 0."""
        self.created = self.now
        self.running.clear()
        self.waiting.clear()
        self.decoding = 0
        self.firsts: dict[int, list[Running]] = {}
        self.lasts: dict[int, list[Running]] = {}
        self.steps = self.tokens = self.prompt_tokens = self.first_tokens = self.itl_count = 0
        self.itl_seconds = self.first_seconds = 0.0
        self.finished = self.finished_prompt = self.finished_output = 0
        self.prompts, self.outputs = [0] * len(EDGES), [0] * len(EDGES)

    def advance(self, to: float) -> None:
        """Takes all steps that end by ``to``."""
        while True:
            if not self.running and not self.waiting:
                if not self.coming or self.coming[0].at > to:
                    self.now = to
                    return
                self.now = max(self.now, self.coming[0].at)
            if self.now + self.step_seconds > to:
                self._arrive(to)
                return
            self._step()

    def _arrive(self, until: float) -> None:
        while self.coming and self.coming[0].at <= until:
            self.waiting.append(self.coming.popleft())

    def _step(self) -> None:
        self._arrive(self.now)
        while self.waiting and (self.seats is None or len(self.running) < self.seats):
            ask = self.waiting.popleft()
            first = self.step + -(-ask.prompt // self.chunk) - 1
            r = Running(ask, self.step, first, first + ask.output - 1)
            self.running[r] = None
            self.firsts.setdefault(r.first, []).append(r)
            self.lasts.setdefault(r.last, []).append(r)
        self.now += self.step_seconds
        starting = [r for r in self.firsts.pop(self.step, ()) if r in self.running]
        self.first_tokens += len(starting)
        self.first_seconds += sum(self.now - r.ask.at for r in starting)
        self.prompt_tokens += sum(r.ask.prompt for r in starting)
        self.itl_count += self.decoding
        self.itl_seconds += self.decoding * self.step_seconds
        self.decoding += len(starting)
        self.tokens += self.decoding
        self.steps += self.decoding > 0
        for r in self.lasts.pop(self.step, ()):
            if r in self.running:
                del self.running[r]
                self.decoding -= 1
                self._finish(r.ask)
        self.step += 1

    def _finish(self, ask: Ask) -> None:
        self.finished += 1
        self.finished_prompt += ask.prompt
        self.finished_output += ask.output
        self.records.append(RequestRecord(ask.at, self.now, ask.prompt, ask.output))
        for counts, length in ((self.prompts, ask.prompt), (self.outputs, ask.output)):
            counts[next(i for i, edge in enumerate(EDGES) if length <= edge)] += 1

    def abort(self, running: int | None = None, waiting: int | None = None) -> None:
        """The client drops its oldest requests, all if no number is given; no counter tells."""
        for r in list(self.running)[: len(self.running) if running is None else running]:
            del self.running[r]
            self.decoding -= r.first < self.step
        for _ in range(len(self.waiting) if waiting is None else waiting):
            self.waiting.popleft()

    @property
    def held_tokens(self) -> int:
        """KV tokens in allocated blocks."""
        held = 0
        for r in self.running:
            steps = self.step - r.admitted
            computed = min(steps * self.chunk, r.ask.prompt) + max(self.step - r.first - 1, 0)
            held += -(-computed // self.block) * self.block
        return held

    def sample(self, key: EngineKey = KEY) -> EngineSample:
        """What a scrape shows now."""
        n = float(self.finished)
        s, o = float(self.finished_prompt), float(self.finished_output)
        return EngineSample(
            key=key,
            running=float(len(self.running)),
            waiting=float(len(self.waiting)),
            kv_usage_ratio=self.held_tokens / self.kv_tokens,
            asleep=False,
            finished=n,
            prompt_tokens=float(self.prompt_tokens),
            prompt_tokens_computed=float(self.prompt_tokens),
            generation_tokens=float(self.tokens),
            preemptions=0.0,
            steps=float(self.steps),
            inter_token_seconds_sum=self.itl_seconds,
            inter_token_count=float(self.itl_count),
            first_token_count=float(self.first_tokens),
            first_token_seconds=Histogram((), (), self.first_seconds, float(self.first_tokens)),
            request_prompt_tokens=Histogram(EDGES, tuple(np.cumsum(self.prompts, dtype=float)), s, n),
            request_generation_tokens=Histogram(EDGES, tuple(np.cumsum(self.outputs, dtype=float)), o, n),
            cache=CacheConfig(
                block_size_tokens=self.block,
                num_gpu_blocks=self.kv_tokens // self.block + 1,
                kv_cache_size_tokens=self.kv_tokens + self.block,
                enable_prefix_caching=False,
            ),
            created_at=self.created,
        )


@dataclass
class Watch:
    """A fleet of one target that watches one synthetic engine, scraping it once a second."""

    engine: SyntheticEngine
    settings: Settings = SEATS_KNOWN
    options: CoreOptions = CoreOptions()  # noqa: RUF009 - frozen
    show: Callable[[EngineSample], EngineSample] = lambda sample: sample
    """How the scrape distorts what the engine shows."""
    log_requests: bool = False

    def __post_init__(self) -> None:
        """Watching starts at the engine's time."""
        self.fleet = Fleet(self.options)
        self.fleet.add(TARGET, self.settings)
        self.at = self.engine.now
        self._logged = 0

    def seconds(self, n: float) -> Iterator[float]:
        """Lets ``n`` seconds go by; yields after each scrape."""
        end = self.at + n
        while self.at < end:
            self.at += self.options.scrape_interval_seconds
            self.engine.advance(self.at)
            if self.log_requests:
                for record in self.engine.records[self._logged :]:
                    self.fleet.observe(TARGET, record)
                self._logged = len(self.engine.records)
            self.fleet.observe(TARGET, Scrape(at=self.at, engines=(self.show(self.engine.sample()),)))
            yield self.at

    def run(self, n: float) -> EngineView:
        """Lets ``n`` seconds go by; the view after them."""
        for _ in self.seconds(n):
            pass
        return self.view()

    def view(self) -> EngineView:
        """The engine as it is exported now."""
        (view,) = self.fleet.view(self.at).targets[0].engines
        return view


def without(**fields: object) -> Callable[[EngineSample], EngineSample]:
    """A distortion that sets fields of every sample."""
    return lambda sample: replace(sample, **fields)  # type: ignore[arg-type]
