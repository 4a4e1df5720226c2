"""Reads a folder of a recorded vLLM run: scrapes, requests, settings, the engine's iteration log, the truth."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ITERATION = re.compile(
    r"INFO (\d\d-\d\d \d\d:\d\d:\d\d) .*Iteration\((\d+)\): (\d+) context requests, (\d+) context tokens, "
    r"(\d+) generation requests, (\d+) generation tokens, iteration elapsed time: ([\d.]+) ms.*usage: ([\d.]+)%"
)
WARM_UP_SECONDS = 20.0
"""What a saturated phase needs to fill up; its figures are taken after that."""


@dataclass(frozen=True)
class Iteration:
    """A line of the iteration log; ``stamp`` is its unix time, cut to whole seconds."""

    stamp: float
    context_requests: int
    context_tokens: int
    generation_requests: int
    generation_tokens: int
    elapsed_seconds: float
    kv_usage_ratio: float


@dataclass(frozen=True)
class Phase:
    """A saturated phase (unix seconds)."""

    start: float
    end: float

    @property
    def measured(self) -> tuple[float, float]:
        """The part of it that is full."""
        return self.start + WARM_UP_SECONDS, self.end - 1.0


def lines(path: Path) -> Iterator[str]:
    """Lines of a file that may be compressed, with or without the suffix that says so."""
    packed = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    if packed.exists():
        with gzip.open(packed, "rt", encoding="utf-8", errors="replace") as handle:
            yield from handle
    else:
        with path.open(encoding="utf-8", errors="replace") as handle:
            yield from handle


class Recording:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.truth: dict[str, Any] = json.loads("".join(lines(folder / "truth.json")))
        configured = json.loads("".join(lines(folder / "settings.json")))
        self.settings = SchedulerSettings(
            num_blocks=self.truth["kv_capacity_tokens"] // self.truth["block_size"] + 1,
            block_size_tokens=self.truth["block_size"],
            max_num_seqs=configured["max_num_seqs"],
            max_num_batched_tokens=configured["max_num_batched_tokens"],
            max_model_len=configured["max_model_len"],
            enable_prefix_caching="--no-enable-prefix-caching" not in self.truth["args"],
        )
        self.requests = [json.loads(line) for line in lines(folder / "requests.jsonl")]
        self.requests.sort(key=lambda request: float(request["arrival"]))
        self.scrapes = [json.loads(line) for line in lines(folder / "scrapes.jsonl")]
        self.phases = [Phase(phase["start"], phase["end"]) for phase in self.truth["phases"] if phase["kind"] == "sat"]
        year = datetime.fromtimestamp(self.scrapes[0]["t"], UTC).year
        self.iterations = [
            _iteration(match.groups(), year)
            for line in lines(folder / "server.log")
            if (match := ITERATION.search(line)) is not None
        ]

    @property
    def mean_output_tokens(self) -> float:
        """Mean output length of the pool that all requests come from."""
        pool = self.truth["pool"]
        return float(sum(output for _, output, _ in pool) / len(pool))

    def arrivals(self, phase: Phase) -> list[Arrival]:
        """Requests of a phase, and of the minute before it, which may have left something in the prefix cache.

        Clients of a saturated phase all leave when it ends.
        """
        shared = {(prompt, output): prefix for prompt, output, prefix in self.truth["pool"]}
        common = min(prefix for _, _, prefix in self.truth["pool"])
        return [
            Arrival(
                at=request["arrival"],
                shape=RequestShape(
                    request["prompt_tokens"],
                    request["completion_tokens"],
                    shared.get((request["prompt_tokens"], request["completion_tokens"]), common),
                ),
                abort_at=phase.end if request["status"] == -1 else None,
            )
            for request in self.requests
            if phase.start - 60 <= request["arrival"] <= phase.end
        ]


def _iteration(fields: tuple[str, ...], year: int) -> Iteration:
    stamp = datetime.strptime(f"{year}-{fields[0]}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    return Iteration(
        stamp, int(fields[2]), int(fields[3]), int(fields[4]), int(fields[5]),
        float(fields[6]) / 1000, float(fields[7]) / 100,
    )  # fmt: skip


def sample(text: str, name: str) -> float:
    """Sum of one metric's samples over their labels."""
    prefix = f"vllm:{name}{{"
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(prefix))
