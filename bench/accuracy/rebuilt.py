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

    Raises ValueError for traffic of which nobody has measured that.
    """
    problems: list[str] = []
    recording = Recording(folder, problems.append)
    scrapes = [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]
    requests = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    marks: list[dict[str, Any]] = json.loads((folder / "marks.json").read_text())
    ends = {max(s.at for s in scrapes if s.at <= mark["end"]): mark for mark in marks}
    for at, view in views_at(folder.name, recording.settings(), scrapes, set(ends)):
        mark = ends[at]
        within = [r for r in requests if mark["start"] < r["arrival"] <= at]
        full = _measured(within, folder)
        yield PhaseOutcome(
            recording=folder.name,
            whole=False,
            kind="const",
            load=len(within) / (at - mark["start"]) / full.rate,
            requests=len(within),
            truth=full.rate,
            true_limits=(full.limit,),
            rate=view.service_rate.value,
            lower=view.service_rate.lower,
            upper=view.service_rate.upper,
            plain=view.service_rate_plain,
            limit=next(iter(view.binding_limit), None),
            reason=view.estimate_valid["service_rate"].reason,
            utilization_lower=dict(view.utilization.lower),
        )


def _measured(requests: list[dict[str, Any]], folder: Path) -> Measured:
    prompt, output = (fmean(r[name] for r in requests) for name in ("prompt_tokens", "completion_tokens"))
    for full in FULL:
        if max(abs(prompt / full.prompt_tokens - 1), abs(output / full.output_tokens - 1)) <= _ALIKE_RATIO:
            return full
    raise ValueError(f"{folder}: no engine was measured full with prompts of {prompt:.0f} and outputs of {output:.0f}")
