"""What nobody knows about an engine beforehand, drawn for each from stated ranges.

Nothing here is known to kvwatch, and none of its constants is used: an estimator that is right on these engines is not
right because the bench was built with its own assumptions.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from math import exp, log

from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.true_clock import Disturbance


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity between two values, evenly distributed; ``logarithmic``: its logarithm is."""

    low: float
    high: float
    logarithmic: bool = False

    def draw(self, source: random.Random) -> float:
        """Draw one."""
        if self.logarithmic:
            return exp(source.uniform(log(self.low), log(self.high)))
        return source.uniform(self.low, self.high)


WEIGHT_BANDWIDTH = Range(0.65, 0.92)
"""Share of the data sheet's bandwidth at which weights are read. [measured elsewhere: Qwen3-14B on an H100, 11.1 ms a
step at small batches, residency-vllm@2641b57; below it choice]"""
KV_BANDWIDTH = Range(0.45, 0.8)
"""The same for the KV cache. [62 to 73 ns a token there: 0.67 to 0.79; below it choice]"""
PEAK = Range(0.35, 0.72)
"""Share of the data sheet's arithmetic. [42.4 µs a prompt token there: 0.71; below it choice]"""
PARALLEL_EFFICIENCY = Range(0.75, 0.95)
"""What tensor parallelism leaves of the arithmetic. [choice]"""
HOST_SECONDS = Range(0.001, 0.004)
"""Scheduling, launches and sampling of a step that nothing hides. [choice]"""
ALL_REDUCE_SECONDS = Range(6e-6, 20e-6)
"""One all-reduce, of which a layer has two. [choice: NVLink]"""
HOST_SECONDS_PER_SEQUENCE = Range(6e-6, 24e-6, logarithmic=True)
"""Host time of a decoding sequence. [choice]"""
DECODE_SHARE = Range(0.1, 0.6)
"""Share of its arithmetic that a decoding sequence shows while weights are read. [choice: it hides well, not wholly]"""
SHARPNESS = Range(4.0, 12.0, logarithmic=True)
"""How abruptly decoding turns from reading weights to arithmetic. [choice]"""
OVERLAP = Range(1.5, 8.0, logarithmic=True)
"""Exponent of hiding: at the point where reading and arithmetic take equally long a step takes 1.6 to 1.1 times one of
them. [0 to 4 of 11 ms of the base show in steps with prompts on that H100, which this range brackets]"""
BEND = Range(0.05, 0.45)
"""How much more the last of decoding sequences or resident tokens costs than the first. [0.12 to 0.16 a factor e of
extrapolation over 21 dense curves of ml-energy/leaderboard@0cd52da, which ``curved`` engines reach and exceed]"""
PROMPT_BEND = Range(0.0, 0.3)
"""The same of prompt tokens over the token budget. [choice: attention within a prompt grows with its square]"""
INTERFERENCE = Range(0.0, 0.4)
"""How much more a prompt token costs beside a full batch. [arXiv 2606.00516: up to 40%]"""
EAGER_RATIO = Range(0.0, 0.3)
"""What leaving the CUDA graph costs a dense engine, over its step at small batches. [choice]"""
NOISE = Range(0.01, 0.08)
"""Standard deviation of the logarithm of a step's duration. [choice: 2 to 5% on a quiet CPU]"""
PAUSE_EVERY_SECONDS = Range(20.0, 60.0, logarithmic=True)
"""Mean time between pauses, where there are any. [choice]"""
GAP_SECONDS = Range(0.0003, 0.002, logarithmic=True)
"""Longest gap between two steps, where there are any; the shortest is a fifth. [choice]"""
WATERMARK = Range(0.004, 0.04, logarithmic=True)
"""Share of the blocks that an admission leaves free, where any is. [vLLM pull request 44594 tries 0.02 to 0.10; its
default has been 0.01]"""
ALIKE_SPREAD = 0.12
"""Standard deviation of the logarithm by which each cost of an engine departs from the published one: drivers, clocks,
versions. [choice]"""
DISTURBED_SHARE = 0.75
"""Share of engines that have noise; the same share has gaps. [choice]"""
PAUSING_SHARE = 1 / 3
"""Share of engines that pause. [choice]"""
WATERMARK_SHARE = 2 / 3
"""Share of engines with a watermark. [choice]"""


def disturbance(source: random.Random) -> Disturbance:
    """Noise, pauses and gaps of one engine."""
    noise, pause, longest = NOISE.draw(source), PAUSE_EVERY_SECONDS.draw(source), GAP_SECONDS.draw(source)
    noisy, pausing, gaps = (source.random() for _ in range(3))
    return Disturbance(
        noise if noisy < DISTURBED_SHARE else 0.0,
        pause if pausing < PAUSING_SHARE else None,
        (longest / 5, longest) if gaps < DISTURBED_SHARE else (0.0, 0.0),
    )


def watermark(source: random.Random) -> float:
    """Share of the blocks that admissions leave free."""
    ratio, some = WATERMARK.draw(source), source.random()
    return ratio if some < WATERMARK_SHARE else 0.0


KINDS = ("affine", "curved", "stepped", "roofline")
"""``affine``: no bend at all, as a control. ``curved``: decoding and attention grow faster than the batch.
``stepped``: decoding runs in CUDA graphs of certain sizes, and steps with prompts in none. ``roofline``: arithmetic
hides behind reading the weights until there is more of it, then the other way round."""


def bent(straight: StepPhysics, kind: str, source: random.Random) -> StepPhysics:
    """A dense engine's physics, departing from straight lines in the way that ``kind`` says, as far as drawn."""
    decode, attention = BEND.draw(source), BEND.draw(source)
    eager, overlap, sharpness = EAGER_RATIO.draw(source), OVERLAP.draw(source), SHARPNESS.draw(source)
    straight = replace(straight, sharpness=sharpness)
    match kind:
        case "affine":
            return straight
        case "curved":
            return replace(straight, decode_bend=decode, attention_bend=attention)
        case "stepped":
            base = straight.host_seconds + straight.weight_seconds
            return replace(straight, padded=True, eager_seconds=eager * base)
        case "roofline":
            return replace(straight, overlap=overlap)
    raise ValueError(f"no kind of step law is called {kind!r}: there are {', '.join(KINDS)}")


def alike(source: random.Random) -> float:
    """A factor by which a cost departs from the published one."""
    return source.lognormvariate(0, ALIKE_SPREAD)
