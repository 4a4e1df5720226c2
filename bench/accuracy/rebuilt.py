"""Recordings rebuilt from public traces of real GPUs: folders given on the command line, of which nothing is committed.

Their sources have no licence, so the project holds what was measured of kvwatch on them, and not them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.accuracy.recordings import PhaseOutcome, views_at
from kvwatch.facts import Scrape
from kvwatch.shell.recordings.replay import Recording

_ALIKE_RATIO = 0.1
"""Mean lengths that differ by less are those of the same traffic. [choice]"""

_FULL_MARKS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the time in which an engine is full at which it is judged. [choice]"""
_KEPT_FULL_LIMIT = "kv"
"""What binds the engine that is kept full: KV usage stands at 0.97 to 1, running at 30 to 45 of 256. [the trace]"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an engine was measured to serve when it was full: mean lengths in tokens, requests/s, what binds."""

    prompt_tokens: float
    output_tokens: float
    rate: float
    limit: str


FULL = (
    Measured(986, 128, 17.4, "seqs"),
    Measured(256, 4096, 8.4, "kv"),
)
"""Qwen3-14B on one H100, vLLM 0.23. [inference-sim/residency-vllm@2641b57: steps of 113 and 117 ms]"""


def score_rebuilt(folder: Path) -> Iterator[PhaseOutcome]:
    """What is said at the end of each span of ``marks.json``, against what the full engine was measured to serve.

    A folder without marks is of an engine that is kept full: it is held against what it then served itself. Raises
    ValueError for traffic of which nobody has measured the truth.
    """
    problems: list[str] = []
    recording = Recording(folder, problems.append)
    scrapes = [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]
    path = folder / "marks.json"
    truths = _under_load(folder, json.loads(path.read_text()), scrapes) if path.exists() else _kept_full(scrapes)
    for at, view in views_at(folder.name, recording.settings(), scrapes, set(truths)):
        truth = truths[at]
        yield PhaseOutcome(
            recording=folder.name,
            whole=False,
            kind=truth.kind,
            load=truth.load,
            requests=truth.requests,
            truth=truth.rate,
            true_limits=(truth.limit,),
            rate=view.service_rate.value,
            lower=view.service_rate.lower,
            upper=view.service_rate.upper,
            plain=view.service_rate_plain,
            limit=next(iter(view.binding_limit), None),
            reason=view.estimate_valid["service_rate"].reason,
            utilization_lower=dict(view.utilization.lower),
        )


@dataclass(frozen=True, slots=True)
class _Truth:
    """What holds at a time: the kind of phase, its load, requests so far, what the full engine serves [1/s] and why."""

    kind: str
    load: float
    requests: int
    rate: float
    limit: str


def _under_load(folder: Path, marks: list[dict[str, Any]], scrapes: list[Scrape]) -> dict[float, _Truth]:
    requests = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    truths = {}
    for mark in marks:
        at = max(s.at for s in scrapes if s.at <= mark["end"])
        within = [r for r in requests if mark["start"] < r["arrival"] <= at]
        full = _measured(within, folder)
        load = len(within) / (at - mark["start"]) / full.rate
        truths[at] = _Truth("const", load, len(within), full.rate, full.limit)
    return truths


def _kept_full(scrapes: list[Scrape]) -> dict[float, _Truth]:
    """Of the time in which requests wait, at each quarter of it: tokens generated then over an output's mean length.

    All requests of the recording finish in it, so that their mean length is not that of the short ones.
    """
    shown = [(scrape.at, scrape.engines[0]) for scrape in scrapes if scrape.engines]
    full = [(at, engine) for at, engine in shown if engine.waiting]
    (begin, first), (end, last) = full[0], full[-1]
    done = shown[-1][1]
    lengths, before, after = done.request_generation_tokens, first.generation_tokens, last.generation_tokens
    if done.running or lengths is None or before is None or after is None:
        raise ValueError("a recording without marks must show its tokens, and all of its requests finishing")
    if not lengths.total or not lengths.count:
        raise ValueError("no request of the recording has finished")
    rate = (after - before) / (end - begin) * lengths.count / lengths.total
    truths = {}
    for mark in _FULL_MARKS:
        at, engine = full[min(int(len(full) * mark), len(full) - 1)]
        truths[at] = _Truth("sat", 1.0, int(engine.finished or 0), rate, _KEPT_FULL_LIMIT)
    return truths


def _measured(requests: list[dict[str, Any]], folder: Path) -> Measured:
    prompt, output = (fmean(r[name] for r in requests) for name in ("prompt_tokens", "completion_tokens"))
    for full in FULL:
        if max(abs(prompt / full.prompt_tokens - 1), abs(output / full.output_tokens - 1)) <= _ALIKE_RATIO:
            return full
    raise ValueError(f"{folder}: no engine was measured full with prompts of {prompt:.0f} and outputs of {output:.0f}")
