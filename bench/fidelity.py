"""How faithful the embedded engine is: each saturated phase of recorded runs, real against emulated.

The engine gets the recorded arrivals with their shared prefixes, and a step law fitted on that phase's own iteration
log. The log's times leave out what passes between two steps, so the law is scaled to the mean step that the scrapes
of the same phase show: the step times in the table agree by construction, the other figures do not.

    python -m bench.fidelity [RECORDING_FOLDER …]
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.recordings import Phase, Recording, sample
from bench.step_law_fit import fit_step_law
from kvwatch.embedded.engine import Engine
from kvwatch.embedded.step_clock import StepClock

if TYPE_CHECKING:
    from kvwatch.embedded.step_law import StepLaw

RECORDINGS = Path(__file__).parents[1] / "tests" / "data" / "recordings"


@dataclass(frozen=True)
class Figures:
    """What a saturated phase did."""

    throughput_rps: float
    running: float
    preemptions_per_finished: float
    kv_usage_ratio: float
    step_seconds: float


def scrape_times(recording: Recording, phase: Phase) -> list[float]:
    """Times of the scrapes in the measured part of a phase."""
    first, last = phase.measured
    return [scrape["t"] for scrape in recording.scrapes if first <= scrape["t"] <= last]


def real(recording: Recording, phase: Phase) -> Figures:
    """The figures that the real server's own metrics give."""
    times = set(scrape_times(recording, phase))
    texts = [scrape["text"] for scrape in recording.scrapes if scrape["t"] in times]

    def grown(name: str) -> float:
        return sample(texts[-1], name) - sample(texts[0], name)

    seconds = max(times) - min(times)
    return Figures(
        throughput_rps=grown("generation_tokens_total") / seconds / recording.mean_output_tokens,
        running=sum(sample(text, "num_requests_running") for text in texts) / len(texts),
        preemptions_per_finished=grown("num_preemptions_total") / grown("request_success_total"),
        kv_usage_ratio=sum(sample(text, "kv_cache_usage_perc") for text in texts) / len(texts),
        step_seconds=seconds / grown("iteration_tokens_total_count"),
    )


def fitted_law(recording: Recording, phase: Phase, step_seconds: float) -> StepLaw:
    """The phase's own step law, at the wall-clock cadence.

    The log's elapsed time misses what lies between two steps, so the fit is scaled to the mean step that the scrapes
    show. The log counts what is computed again after an eviction as generation: more tokens than requests.
    """
    first, last = phase.measured
    steps = [step for step in recording.iterations if phase.start + 2 <= step.stamp <= last]
    capacity = recording.settings.kv_capacity_tokens
    law = fit_step_law(
        [
            (
                step.generation_requests,
                step.context_tokens + step.generation_tokens - step.generation_requests,
                step.kv_usage_ratio * capacity,
                step.elapsed_seconds,
            )
            for step in steps
        ]
    )
    full = [step.elapsed_seconds for step in steps if first <= step.stamp <= last]
    return law.scaled(step_seconds * len(full) / sum(full))


def emulated(recording: Recording, phase: Phase, law: StepLaw) -> Figures:
    """The same figures of an engine that is fed the same arrivals."""
    arrivals = recording.arrivals(phase)
    times = scrape_times(recording, phase)
    engine = Engine(recording.settings, StepClock(law), arrivals, start=arrivals[0].at - 1)
    counters = engine.counters
    engine.advance(times[0])
    before = (counters.generation_tokens, counters.preemptions, counters.finished, engine.scheduler.steps)
    running = kv_usage = 0.0
    for time in times:
        engine.advance(time)
        engine.take_ended()
        running += counters.running
        kv_usage += counters.kv_usage_ratio
    tokens, preempted, finished, steps = (
        after - earlier
        for after, earlier in zip(
            (counters.generation_tokens, counters.preemptions, counters.finished, engine.scheduler.steps),
            before,
            strict=True,
        )
    )
    seconds = times[-1] - times[0]
    return Figures(
        throughput_rps=tokens / seconds / recording.mean_output_tokens,
        running=running / len(times),
        preemptions_per_finished=preempted / finished,
        kv_usage_ratio=kv_usage / len(times),
        step_seconds=seconds / steps,
    )


def compare(folder: Path) -> list[tuple[str, Figures, Figures]]:
    """Each saturated phase of a recording: its name, the real figures, the emulated ones."""
    recording = Recording(folder)
    rows = []
    for number, phase in enumerate(recording.phases, start=1):
        measured = real(recording, phase)
        law = fitted_law(recording, phase, measured.step_seconds)
        rows.append((f"{recording.name}/{number}", measured, emulated(recording, phase, law)))
    return rows


def main(arguments: list[str]) -> None:
    """Print the table."""
    folders = [Path(argument) for argument in arguments]
    if not folders:
        folders = sorted(path.parent for path in RECORDINGS.glob("*/server.log.gz"))
    columns = ("requests/s", "running", "preempted/finished", "KV usage", "step ms")
    print(f"{'real → embedded':15}", *(f"{column:>20}" for column in columns), f"{'Δ requests/s':>13}")
    for folder in folders:
        for name, was, is_ in compare(folder):
            pairs = (
                (was.throughput_rps, is_.throughput_rps),
                (was.running, is_.running),
                (was.preemptions_per_finished, is_.preemptions_per_finished),
                (was.kv_usage_ratio, is_.kv_usage_ratio),
                (1000 * was.step_seconds, 1000 * is_.step_seconds),
            )
            shown = (f"{left:9.3f} → {right:8.3f}" for left, right in pairs)
            print(f"{name:15}", *shown, f"{is_.throughput_rps / was.throughput_rps - 1:+13.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
