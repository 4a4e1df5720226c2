"""Figures from the recordings of a real vLLM: from the scored phases, and from what was measured in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any

from bench.accuracy import results
from bench.accuracy.recordings import FOLDER, PhaseOutcome
from bench.recordings import sample

_TITLES = {
    "chat": "`chat`: shared 160-token prompt",
    "homog": "`homog`: one length, evictions in waves",
    "seqcap": "`seqcap`: 12 seats",
    "ramp11": "`ramp11`: a ramp, not steady, in minutes",
}
_MOE_TITLES = {
    "moe-decode": "`moe-decode`: nearly all decoding",
    "moe-chat": "`moe-chat`: 48 seats, shared prompt",
}
_REBUILT_TITLES = {"const": "H100, Qwen3-14B, vLLM 0.23", "sat": "RTX 4090, Llama-3.1-8B"}
_LOADS = {"ramp": "rising", "sat": "kept full"}
_LIMITS = {"kv": "KV", "seqs": "seats", "tokens": "budget"}
_STEP_RECORDING = "ramp11"
"""The one that goes through all loads."""


def percent(value: float, spec: str = "+.0f") -> str:
    """A ratio as a percentage, with a real minus, and no sign for what rounds to 0."""
    text = format(100 * value, spec).replace("-", "−")
    return "0%" if text in {"+0", "−0"} else text + "%"


def table() -> str:
    """README's table: what is said before any queue, against what was measured at saturation."""
    return _table("recording", {title: _before_any_queue(name) for name, title in _TITLES.items()})


def moe_table() -> str:
    """The same of the mixtures of experts."""
    return _table("recording", {title: _before_any_queue(name) for name, title in _MOE_TITLES.items()})


def rebuilt_table() -> str:
    """The same of real GPUs, from recordings that are rebuilt from public traces."""
    found = sorted(results.load().rebuilt, key=lambda o: (o.load, o.requests))
    by_kind = {title: [o for o in found if o.kind == kind] for kind, title in _REBUILT_TITLES.items()}
    return _table("server", {title: outcomes for title, outcomes in by_kind.items() if outcomes})


def _table(head: str, by_title: Mapping[str, Sequence[PhaseOutcome]]) -> str:
    lines = [
        f"| {head} | limit | load | measured μ | plain formula | kvwatch | 90% interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, outcomes in by_title.items():
        for number, o in enumerate(outcomes):
            first = number == 0
            load = f"{o.load:.2f}" if o.kind == "const" else (_LOADS[o.kind] if first else "")
            assert o.rate is not None
            assert o.plain_error is not None
            assert o.error is not None
            cells = (
                title if first else "",
                "/".join(_LIMITS[limit] for limit in o.true_limits) if first else "",
                load,
                f"{o.truth:.1f}/s",
                percent(o.plain_error),
                percent(o.error),
                f"{o.lower:.1f} to {o.upper:.1f}" + ("" if o.covered else " (misses)"),
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines).replace("|  |", "| |").replace("|  |", "| |")


def _before_any_queue(name: str) -> list[PhaseOutcome]:
    found = [o for o in results.load().recordings if o.recording == name and not o.whole]
    return [o for o in found if o.kind != "sat" and o.load < 1]


def plain_times_too_high() -> str:
    """By how much the plain formula is off at a quarter of the load, from the least to the most."""
    errors = [o.plain_error for name in _TITLES for o in _before_any_queue(name) if o.load == 0.25]
    found = sorted(1 + e for e in errors if e is not None)
    return f"{found[0]:.0f} to {found[-1]:.0f}"


def slower_second_time() -> str:
    """By how much servers whose memory was full were slower in their second saturated phase."""
    found = sorted(round(100 * (1 - second / first)) for first, second in _saturated_pairs())
    return f"{found[0]}%" if found[0] == found[-1] else f"{found[0]} to {found[-1]}%"


def truth_half_width() -> str:
    """To what the measured rate is good: half of that."""
    return f"±{100 * max(first - second for first, second in _saturated_pairs(relative=True)) / 2:.0f}%"


def _saturated_pairs(*, relative: bool = False) -> Iterator[tuple[float, float]]:
    for name in _TITLES:
        truth: dict[str, Any] = json.loads((FOLDER / name / "truth.json").read_text(encoding="utf-8"))
        rates = [p["service_rate_by_tokens"] for p in truth["phases"] if p["kind"] == "sat"]
        if len(rates) == 2 and name != "seqcap":
            yield (1.0, rates[1] / rates[0]) if relative else (rates[0], rates[1])


@cache
def _step_seconds() -> list[tuple[float, float]]:
    """(requests running, mean step time [s]) of each scrape interval in which something ran throughout."""
    with gzip.open(FOLDER / _STEP_RECORDING / "scrapes.jsonl.gz", "rt", encoding="utf-8") as lines:
        scrapes = [json.loads(line)["text"] for line in lines]
    names = ("inter_token_latency_seconds_sum", "inter_token_latency_seconds_count", "num_requests_running")
    rows = [tuple(sample(text, name) for name in names) for text in scrapes]
    return [
        (after[2], (after[0] - before[0]) / (after[1] - before[1]))
        for before, after in pairwise(rows)
        if after[1] > before[1] and before[2] and after[2]
    ]


def nearly_idle_step() -> str:
    """Median step with up to three requests running [ms]."""
    return f"{_milliseconds([s for n, s in _step_seconds() if n <= 3])} ms"


def full_step() -> str:
    """Median step of the fullest tenth of all intervals [ms]."""
    most = sorted(n for n, _ in _step_seconds())
    return f"{_milliseconds([s for n, s in _step_seconds() if n >= most[int(0.9 * len(most))]])} ms"


def _milliseconds(seconds: Sequence[float]) -> int:
    """To the nearest ten: the machine is shared."""
    return round(1000 * median(seconds), -1).__int__()
