"""Writes the recording of a scenario, in virtual time: as fast as the engine can be computed."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import orjson

from kvwatch.embedded.exposition import render
from kvwatch.embedded.request import FINISHED
from kvwatch.shell.recordings.recorder import RecordingExistsError

if TYPE_CHECKING:
    from pathlib import Path

    from kvwatch.embedded.engine import StepRecord
    from kvwatch.embedded.request import Request
    from kvwatch.embedded.saturation import Saturation
    from kvwatch.embedded.scenarios import Scenario

FILL_SECONDS = 20.0
"""What a saturated phase needs to fill up; its service rate is taken after that."""
EPOCH = 1_750_000_000.0
"""Unix time at which virtual recordings begin, so that one seed gives one recording."""


@dataclass(frozen=True, slots=True)
class VirtualRecording:
    """What was written: counts of lines and phases, and the service rate that the engine has when full."""

    scrapes: int
    requests: int
    phases: int
    service_rate: float


@dataclass(slots=True)
class _Phase:
    """A stretch of the scenario on the recording's time line (unix seconds), and what happened in it."""

    kind: str
    loads: tuple[float, float]
    start: float
    end: float
    arrived: int = 0
    output_tokens: int = 0
    first: tuple[float, int] | None = None
    last: tuple[float, int] | None = None

    def see(self, at: float, generated_tokens: int) -> None:
        """Note the generation counter at a scrape within the phase's full part."""
        if self.start + FILL_SECONDS <= at <= self.end:
            self.first = self.first or (at, generated_tokens)
            self.last = (at, generated_tokens)

    def count(self, request: Request) -> None:
        """Note a request that arrived in the phase."""
        if self.start <= request.arrival < self.end:
            self.arrived += 1
            self.output_tokens += request.output_tokens

    def truth(self) -> dict[str, Any]:
        """The phase as ``truth.json`` has it."""
        begin, end = self.loads
        entry: dict[str, Any] = {
            "kind": self.kind,
            "frac": 0 if self.kind == "sat" else begin if begin == end else [begin, end],
            "start": self.start,
            "end": self.end,
            "offered": self.arrived / (self.end - self.start),
        }
        if self.kind == "sat" and self.first and self.last and self.last[0] > self.first[0]:
            tokens_per_second = (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])
            entry["service_rate_by_tokens"] = tokens_per_second * self.arrived / self.output_tokens
        return entry


def record_virtual(  # noqa: PLR0913 (an experiment has that many conditions)
    scenario: Scenario,
    out_dir: Path,
    *,
    seconds: float,
    scrape_interval_seconds: float = 1.0,
    seed: int = 0,
    model_name: str = "emulated",
) -> VirtualRecording:
    """Write a recording of ``seconds`` of a scenario: scrapes, requests, settings, iteration log, truth.

    Raises:
        RecordingExistsError: The folder holds a recording, which is never overwritten.
        OSError: The folder cannot be written.
    """
    capacity = scenario.capacity(seed)
    phases = _phases(scenario, seconds)
    settings = scenario.settings
    requests = 0
    out_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scrape_log = stack.enter_context(_compressed(stack, out_dir / "scrapes.jsonl.gz"))
        request_log = stack.enter_context(_create(out_dir / "requests.jsonl"))
        server_log = stack.enter_context(_compressed(stack, out_dir / "server.log.gz"))
        engine = scenario.engine(seed=seed, start=EPOCH, on_step=lambda step: _log_step(server_log, step))

        def log_requests() -> int:
            ended = engine.take_ended()
            for request in ended:
                request_log.write(request_line(request))
                for phase in phases:
                    phase.count(request)
            return len(ended)

        scrapes = int(seconds / scrape_interval_seconds) + 1
        for number in range(scrapes):
            at = EPOCH + number * scrape_interval_seconds
            engine.advance(at)
            line = {"t": at, "text": render(engine, model_name=model_name)}
            scrape_log.write(orjson.dumps(line) + b"\n")
            for phase in phases:
                phase.see(at, engine.counters.generation_tokens)
            requests += log_requests()
        engine.advance(EPOCH + seconds)
        engine.abort_all()
        engine.advance(EPOCH + seconds + 60.0)
        requests += log_requests()
    known = {key: getattr(settings, key) for key in ("max_num_seqs", "max_num_batched_tokens", "max_model_len")}
    (out_dir / "settings.json").write_bytes(orjson.dumps(known) + b"\n")
    truth = _truth(scenario, capacity, phases, seed)
    (out_dir / "truth.json").write_bytes(orjson.dumps(truth, option=orjson.OPT_INDENT_2) + b"\n")
    return VirtualRecording(scrapes, requests, len(phases), capacity.throughput_rps)


def _create(path: Path) -> IO[bytes]:
    """Open a file that must not be there yet."""
    try:
        return path.open("xb")
    except FileExistsError:
        raise RecordingExistsError(f"{path} exists; choose another folder") from None


def _compressed(stack: ExitStack, path: Path) -> gzip.GzipFile:
    """Open a compressed file that must not be there yet; it holds no time of day, so one seed gives one file."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=stack.enter_context(_create(path)), mtime=0)


def _phases(scenario: Scenario, seconds: float) -> list[_Phase]:
    """The scenario's stages, round after round, as far as ``seconds`` go."""
    phases: list[_Phase] = []
    start = 0.0
    while start < seconds:
        for stage in scenario.stages:
            end = min(start + stage.seconds, seconds)
            if end > start:
                share = (end - start) / stage.seconds
                reached = stage.start_load + share * (stage.end_load - stage.start_load)
                phases.append(_Phase(stage.kind, (stage.start_load, reached), EPOCH + start, EPOCH + end))
            start = end
    return phases


def _truth(scenario: Scenario, capacity: Saturation, phases: list[_Phase], seed: int) -> dict[str, Any]:
    """What an estimate of this recording is scored against."""
    settings = scenario.settings
    caching = "--enable-prefix-caching" if settings.enable_prefix_caching else "--no-enable-prefix-caching"
    return {
        "scenario": scenario.name,
        "seed": seed,
        "pool": [
            [shape.prompt_tokens, shape.output_tokens, shape.shared_prefix_tokens] for shape in scenario.pool(seed)
        ],
        "args": f"--block-size {settings.block_size_tokens} --num-gpu-blocks-override {settings.num_blocks}"
        f" --max-num-seqs {settings.max_num_seqs} --max-num-batched-tokens {settings.max_num_batched_tokens} {caching}",
        "step_law": scenario.law.coefficients,
        "phases": [phase.truth() for phase in phases],
        "mu_true": capacity.throughput_rps,
        "block_size": settings.block_size_tokens,
        "kv_capacity_tokens": settings.kv_capacity_tokens,
    }


def _log_step(log: gzip.GzipFile, step: StepRecord) -> None:
    stamp = datetime.fromtimestamp(step.start + step.elapsed_seconds, UTC)
    log.write(f"INFO {stamp:%m-%d %H:%M:%S} [loggers.py:199] {iteration_line(step)}".encode())


def request_line(request: Request) -> bytes:
    """One line of a recording's ``requests.jsonl`` (times in unix seconds, lengths in tokens)."""
    return (
        orjson.dumps(
            {
                "arrival": round(request.arrival, 4),
                "finish": round(request.arrival if request.ended is None else request.ended, 4),
                "prompt_tokens": request.prompt_tokens,
                "completion_tokens": request.output_tokens,
                "status": 200 if request.state == FINISHED else -1,
            }
        )
        + b"\n"
    )


def iteration_line(step: StepRecord) -> str:
    """A step as vLLM's own log has it, without the time stamp that the log's prefix holds."""
    return (
        f"Engine 000: Iteration({step.index}): {step.context_requests} context requests, {step.context_tokens} context"
        f" tokens, {step.generation_requests} generation requests, {step.generation_tokens} generation tokens,"
        f" iteration elapsed time: {1000 * step.elapsed_seconds:.2f} ms,"
        f" GPU KV cache usage: {100 * step.kv_usage_ratio:.1f}%\n"
    )
