"""Named scenarios: an engine and what it is put through, with loads as shares of what it can sustain."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from kvwatch.embedded.engine import Engine, StepRecord
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_clock import StepClock, StepTexture
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Arrival, Lengths, Lognormal, Segment, Uniform, arrivals, fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvwatch.embedded.saturation import Saturation

POOL_SIZE = 512
"""Shapes that stand for a scenario's traffic [requests]. Choice: the mean of a lognormal length is then right within
3%."""
TEXTURE = StepTexture(noise_ratio=0.03, gap_seconds=0.0005, gap_per_sequence_seconds=0.00001)
"""Steps vary a little, and some time passes between them. Choice: about as in the recordings of a real vLLM."""
_CAPACITY_STEPS = 8000
"""Steps over which a scenario's capacity is found [steps]. Choice: some twenty lifetimes of its requests, a second of
CPU."""
_ROUND_SEED_STRIDE = 7919
"""Difference of the seeds of two rounds [1]. Choice: a large prime, so that neighbouring scenarios' rounds share
none."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a scenario.

    Attributes:
        kind: What it is for: "const", "ramp", or "sat" where far more comes than can be served.
        seconds: Its length.
        start_load: Arrival rate at its start over the service rate.
        end_load: The same at its end.
        abort_at_end: Whether all clients that still wait leave when it ends.
    """

    kind: str
    seconds: float
    start_load: float
    end_load: float
    abort_at_end: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """An engine and its traffic; the stages are gone through again and again.

    Attributes:
        name: As the command line has it.
        summary: What it shows, in a sentence.
        settings: The scheduler's.
        lengths: Where requests come from.
        stages: One round of load over time.
        law: Duration of a step.
        texture: Departures from the law.
        burstiness: Coefficient of variation of inter-arrival times.
        patience_seconds: Mean time after which clients give up; None for never.
    """

    name: str
    summary: str
    settings: SchedulerSettings
    lengths: Lengths
    stages: tuple[Stage, ...]
    law: StepLaw
    texture: StepTexture = TEXTURE
    burstiness: float = 1.0
    patience_seconds: float | None = None

    def pool(self, seed: int = 0) -> list[RequestShape]:
        """Shapes that stand for the traffic."""
        source = random.Random(seed)  # noqa: S311 (reproducible, not secret)
        return list(islice(self.lengths.shapes(source), POOL_SIZE))

    def capacity(self, seed: int = 0) -> Saturation:
        """What the engine does when it is kept full of this traffic."""
        from kvwatch.embedded.saturation import saturate  # noqa: PLC0415 (numpy, which the flags must not wait for)

        return saturate(
            self.pool(seed), self.settings, self.texture.mean_law(self.law), steps=_CAPACITY_STEPS, seed=seed
        )

    def sped_up(self, factor: float) -> Scenario:
        """The same on hardware that is ``factor`` times faster, and put under load as much faster."""
        texture = replace(
            self.texture,
            outlier_seconds=self.texture.outlier_seconds / factor,
            gap_seconds=self.texture.gap_seconds / factor,
            gap_per_sequence_seconds=self.texture.gap_per_sequence_seconds / factor,
        )
        return replace(
            self,
            law=self.law.scaled(1 / factor),
            texture=texture,
            stages=tuple(replace(stage, seconds=stage.seconds / factor) for stage in self.stages),
            patience_seconds=None if self.patience_seconds is None else self.patience_seconds / factor,
        )

    def traffic(self, service_rate: float, *, seed: int, start: float = 0.0) -> Iterator[Arrival]:
        """Requests for ever, given how many a second the engine can serve."""
        segments = tuple(
            Segment(stage.seconds, stage.start_load * service_rate, stage.end_load * service_rate, stage.abort_at_end)
            for stage in self.stages
        )
        length, rounds = sum(segment.seconds for segment in segments), 0
        while True:
            yield from arrivals(
                segments,
                self.lengths,
                seed=seed + _ROUND_SEED_STRIDE * rounds,
                start=start + rounds * length,
                burstiness=self.burstiness,
                patience_seconds=self.patience_seconds,
            )
            rounds += 1

    def engine(self, *, seed: int, start: float = 0.0, on_step: Callable[[StepRecord], None] | None = None) -> Engine:
        """An engine at the start of the scenario; ``start`` is the virtual time then, seconds."""
        traffic = self.traffic(self.capacity(seed).throughput_rps, seed=seed, start=start)
        clock = StepClock(self.law, self.texture, seed=seed)
        return Engine(self.settings, clock, traffic, start=start, on_step=on_step)


_SETTINGS = SchedulerSettings(
    num_blocks=2049, block_size_tokens=16, max_num_seqs=256, max_num_batched_tokens=2048, max_model_len=4096
)
"""A small engine, of 32,768 tokens. Choice: full with about a hundred requests, so that a run costs little."""
_LAW = StepLaw(0.015, 0.0003, 0.00004, 2e-7)
"""Its steps. Choice: 15 ms when empty and about 50 ms when full, as a model of some ten billion parameters on one
GPU."""
_TALK = Lognormal(220, 0.7, 160, 0.6, correlation=0.3, longest_tokens=1500)
"""Chats. Choice: lengths spread by a factor of two either way, longer questions having longer answers."""

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "steady",
            "Constant load at 0.6 of what the engine sustains.",
            _SETTINGS,
            _TALK,
            (Stage("const", 3600, 0.6, 0.6),),
            _LAW,
        ),
        Scenario(
            "ramp",
            "From 0.2 to 1.3 of what the engine sustains in four minutes, overload for two, then a quiet spell.",
            _SETTINGS,
            _TALK,
            (Stage("ramp", 240, 0.2, 1.3), Stage("const", 120, 1.3, 1.3), Stage("const", 240, 0.3, 0.3)),
            _LAW,
        ),
        Scenario(
            "overload",
            "Quiet, then 1.4 times what the engine sustains; clients lose patience after two minutes in the mean.",
            _SETTINGS,
            _TALK,
            (Stage("const", 60, 0.5, 0.5), Stage("const", 180, 1.4, 1.4), Stage("const", 180, 0.4, 0.4)),
            _LAW,
            patience_seconds=120.0,
        ),
        Scenario(
            "chat",
            "Bursty turns behind four shared system prompts, prefix caching on, load up and down between 0.4 and 0.9.",
            replace(_SETTINGS, enable_prefix_caching=True),
            Lognormal(180, 0.8, 140, 0.7, 0.2, shared_prefix_tokens=192, prefixes=4, longest_tokens=1500),
            (Stage("ramp", 300, 0.4, 0.9), Stage("ramp", 300, 0.9, 0.4)),
            _LAW,
            burstiness=1.6,
        ),
        Scenario(
            "limit-cycle",
            "Requests of one length: two minutes at half load, then four of overload: eviction in waves.",
            SchedulerSettings(num_blocks=512, block_size_tokens=32, max_num_seqs=256, max_num_batched_tokens=2048),
            fixed(64, 192),
            (Stage("const", 120, 0.5, 0.5), Stage("sat", 240, 4.0, 4.0, abort_at_end=True)),
            StepLaw(0.0168, 0.00032, 0.00027, 1.1e-6),
        ),
        Scenario(
            "seqcap",
            "Twelve seats and plenty of memory: load 0.25, 0.5, 0.75, then more than can be served.",
            SchedulerSettings(num_blocks=1024, block_size_tokens=32, max_num_seqs=12, max_num_batched_tokens=512),
            Uniform((10, 200), (10, 200)),
            (
                Stage("const", 120, 0.25, 0.25),
                Stage("const", 120, 0.5, 0.5),
                Stage("const", 120, 0.75, 0.75),
                Stage("sat", 120, 3.0, 3.0, abort_at_end=True),
            ),
            StepLaw(0.015, 0.0007, 0.00006, 0.0),
        ),
    )
}
"""By name. Choice: one for each limit, and for each way in which load can change."""

_DEMO_SETTINGS = replace(_SETTINGS, num_blocks=4097)
"""The demo's engines. Choice: twice as large, so that full ones run two hundred requests."""
_DEMO_LAW = StepLaw(0.012, 0.00015, 0.00002, 1e-7)
"""Their steps. Choice: about twice as fast, so that enough requests finish within a minute."""

DEMO = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "steady",
            "Constant load at half of what it sustains.",
            _DEMO_SETTINGS,
            _TALK,
            (Stage("const", 360, 0.5, 0.5),),
            _DEMO_LAW,
        ),
        Scenario(
            "ramp",
            "From 0.2 to 1.3 of what it sustains, then quiet.",
            _DEMO_SETTINGS,
            _TALK,
            (Stage("ramp", 240, 0.2, 1.3), Stage("const", 60, 1.3, 1.3), Stage("const", 60, 0.3, 0.3)),
            _DEMO_LAW,
        ),
    )
}
"""The two engines of the demo, by the name of their model. Choice: fast enough for sure estimates within a minute."""
