"""How far predicted latencies are from a real vLLM's: ``python -m bench.latency_real``, some minutes of CPU."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from bench.latency_real.observed import quantile_of_phase
from bench.recordings import WARM_UP_SECONDS
from kvwatch.core.options import CoreOptions
from kvwatch.embedded.latency_curve import Slo
from kvwatch.estimate import Reason, pair
from kvwatch.facts import Scrape
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.views import EngineView

RESULTS = Path(__file__).parents[1] / "results" / "latency_real.json"
REPORT = RESULTS.with_suffix(".md")
RECORDINGS = Path(__file__).parents[2] / "tests" / "data" / "recordings"
NAMES = ("chat", "homog", "seqcap", "moe-chat", "moe-decode")
"""Committed recordings with phases of a constant load."""
TARGET_SECONDS = 2.0
"""Time to the first token that 95% of requests are to stay below [s]. [choice]"""
_SHARE = 0.95
_METRICS = {"wait": "queue_seconds", "ttft": "first_token_seconds", "itl": "inter_token_seconds"}
_LEAST_LOAD, _MOST_LOAD = 0.3, 0.85
"""ρ between which the goal holds: the observed 95th percentile to the first token lies in the interval in 80%."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of latency in one phase: 95th percentiles [s]."""

    recording: str
    load: float
    utilization: float | None
    phase_seconds: float
    kind: str
    requests: float
    observed: float
    low: float
    high: float
    predicted: float | None
    lower: float | None
    upper: float | None
    reason: str
    target_rate: float | None

    @property
    def covered(self) -> bool:
        """Whether the interval holds some of the bucket in which the observed quantile lies."""
        if self.predicted is None or self.lower is None:
            return False
        return self.lower <= self.high and self.low <= (inf if self.upper is None else self.upper)

    @property
    def holds_quantile(self) -> bool:
        """Whether it holds the quantile as Prometheus reads it off the bucket, which is stricter."""
        upper = inf if self.upper is None else self.upper
        return self.predicted is not None and self.lower is not None and self.lower <= self.observed <= upper


def compare(folder: Path) -> Iterator[Compared]:
    """Each phase of constant load of a recording, as predicted at its end.

    Raises:
        RecordingError: a file that is needed is missing.
    """
    recording = Recording(folder, lambda problem: sys.exit(f"{folder}: {problem}"))
    scrapes = [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]
    phases = [p for p in json.loads((folder / "truth.json").read_text())["phases"] if p["kind"] == "const"]
    ends = {max(s.at for s in scrapes if s.at <= phase["end"]): phase for phase in phases}
    options = replace(CoreOptions(), predicts_latency=True, slo=Slo(first_token_seconds=TARGET_SECONDS))
    for fleet in replay(recording, options):
        if fleet.at in ends and fleet.targets and fleet.targets[0].engines:
            yield from _of_phase(folder.name, scrapes, ends[fleet.at], fleet.targets[0].engines[0])


def _of_phase(name: str, scrapes: Sequence[Scrape], phase: dict[str, Any], view: EngineView) -> Iterator[Compared]:
    said = view.latency_seconds
    for kind, metric in _METRICS.items():
        seen = quantile_of_phase(scrapes, metric, _SHARE, phase["start"] + WARM_UP_SECONDS, phase["end"])
        if seen is None:
            continue
        key = pair(kind, f"{_SHARE:g}")
        yield Compared(
            recording=name,
            load=phase["frac"],
            utilization=next(iter(view.utilization.value.values()), None),
            phase_seconds=phase["end"] - phase["start"],
            kind=kind,
            requests=seen.requests,
            observed=seen.seconds,
            low=seen.low,
            high=seen.high,
            predicted=said.value.get(key),
            lower=said.lower.get(key),
            upper=said.upper.get(key),
            reason=(said.verdict or Reason.DEPENDS).value,
            target_rate=view.slo_service_rate.value.get("ttft"),
        )


def load() -> list[Compared]:
    """What was compared last."""
    return [Compared(**one) for one in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def in_range(found: Sequence[Compared], kind: str) -> list[Compared]:
    """Those of a kind at loads for which the goal is."""
    return [c for c in found if c.kind == kind and _LEAST_LOAD <= (c.utilization or 0) <= _MOST_LOAD]


def report(found: Sequence[Compared]) -> str:
    """The comparison as a page."""
    lines = [
        "# Predicted latency against a real vLLM's own",
        "",
        "Written by `python -m bench.latency_real` from recordings of vLLM 0.32 on a CPU: at the end of each phase of",
        "constant load the 95th percentile that is predicted, and the one that the server's histograms show of the",
        f"phase without its first {WARM_UP_SECONDS:.0f} s. It lies anywhere in a bucket of these; an interval covers",
        "it where the two overlap. The first bucket of waiting reaches to 0.3 s, which tells nothing below that. The",
        "API server's own time is in what is observed, and not in what is predicted.",
        "",
        f"| latency | covered, ρ from {_LEAST_LOAD} to {_MOST_LOAD} | the quantile itself, as Prometheus reads it |",
        "|---|---|---|",
    ]
    for kind in _METRICS:
        chosen = in_range(found, kind)
        held = sum(c.holds_quantile for c in chosen)
        lines.append(f"| {kind} | {sum(c.covered for c in chosen)} of {len(chosen)} | {held} of {len(chosen)} |")
    lines += [
        "",
        "| recording | ρ | lasted | latency | observed, bucket | predicted | 90% interval | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for c in found:
        predicted = c.reason if c.predicted is None else f"{c.predicted:.3g} s"
        interval = "–" if c.lower is None else f"{c.lower:.3g} to {'∞' if c.upper is None else f'{c.upper:.3g}'} s"
        rho = "–" if c.utilization is None else f"{c.utilization:.2f}"
        lines.append(
            f"| {c.recording} | {rho} | {c.phase_seconds:.0f} s | {c.kind} | {c.observed:.3g} s, {c.low:g} to"
            f" {c.high:g} | {predicted} | {interval} | {'' if c.covered else 'misses'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compare, and write both results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[RECORDINGS / name for name in NAMES])
    found = []
    for folder in parser.parse_args().folders:
        for one in compare(folder):
            print(one, flush=True)
            found.append(one)
    RESULTS.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    REPORT.write_text(report(found))


if __name__ == "__main__":
    main()
