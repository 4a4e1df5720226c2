"""The design of dense engines whose steps with prompts show the base of steps without, or hide it.

On one H100 reading 11 ms of weights hides behind a prompt's arithmetic almost wholly; on a CPU it does not. At light
load and with prompts of one length the two look alike, and differ by a fifth in μ.
"""

from __future__ import annotations

import random
from dataclasses import replace

from bench.accuracy import nature
from bench.accuracy.engines import TrueEngine, filled
from bench.accuracy.hardware import HARDWARE, Efficiency, Gpu, Hardware, Model
from bench.accuracy.moe_engines import ASYNC_SHARE, MIXES
from bench.accuracy.nature import Range
from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.workloads import Workload
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Pool

_BY_NAME = {hardware.name: hardware for hardware in HARDWARE}
_QWEN_14B = Model("Qwen/Qwen3-14B", 14.8e9, 40, 163_840)
SYSTEMS = (
    Hardware("H100 14B", Gpu(80e9, 3350e9, 989e12), _QWEN_14B),
    _BY_NAME["A100-80 8B"],
    _BY_NAME["H100 8B"],
    _BY_NAME["H200 70B x2"],
    _BY_NAME["L40S 8B"],
    _BY_NAME["H100 32B x2"],
)
BASE_MIXES = (
    *(mix for mix in MIXES if mix.name in {"chat", "narrow", "reasoning", "code completion", "long prompts"}),
    Workload("long outputs", Pool((RequestShape(256, 4096),))),
)
"""``long outputs``: as one of the public H100 traces asks for."""
HELD_OUT_SYSTEMS = ("H100 8B", "L40S 8B")
HELD_OUT_MIXES = ("code completion", "long outputs")

_FIRST = 2000
"""Index of the first engine, so that no seed is another design's."""
_SEATS = (128, 256, 256)
_BUDGETS = (2048, 8192)
_LONGEST_TOKENS = 16_384
_LONG_PROMPT_TOKENS = 32_768
_LEAST_REQUESTS = 12
"""Mean requests that the memory holds at least; with fewer another mix takes the place. [choice]"""
VISIBLE_DECODE_SHARE = Range(0.3, 1.0)
"""Share of a token's arithmetic that a decoding sequence shows where nothing hides. [choice: all of it on a CPU]"""
BENT_SHARE = 0.5
"""Share of engines whose prompts cost more the more of them there are, and of those in which decoding interferes.
[choice]"""


def base_design() -> list[TrueEngine]:
    """Thirty-six engines, the same ones each time; half of them hide the base."""
    pairs = [(i, j) for i in range(len(SYSTEMS)) for j in range(len(BASE_MIXES))]
    return [
        _engine(_FIRST + number, SYSTEMS[i], BASE_MIXES[j], hidden=(i + j) % 2 == 0)
        for number, (i, j) in enumerate(pairs)
    ]


def _engine(index: int, hardware: Hardware, mix: Workload, *, hidden: bool) -> TrueEngine:
    source = random.Random(index)
    seats, budget = source.choice(_SEATS), source.choice(_BUDGETS)
    longest = min(_LONG_PROMPT_TOKENS if mix.name == "long prompts" else _LONGEST_TOKENS, hardware.kv_tokens // 4)
    pool = mix.pool(index, longest) if _fits(mix, hardware) else BASE_MIXES[0].pool(index, longest)
    settings = SchedulerSettings.from_capacity(
        hardware.kv_tokens, max_num_seqs=seats, max_num_batched_tokens=budget, max_model_len=longest
    )
    return filled(
        TrueEngine(
            index=index,
            system=hardware.name,
            model_name=hardware.model.name,
            workload=mix if _fits(mix, hardware) else BASE_MIXES[0],
            settings=replace(settings, watermark_ratio=nature.watermark(source)),
            kind="base hidden" if hidden else "base visible",
            physics=_physics(source, hardware.physics(Efficiency.drawn(source)), hidden=hidden),
            disturbance=nature.disturbance(source),
            burstiness=source.choice((1.0, 1.0, 1.5)),
            pool=pool,
            async_scheduling=source.random() < ASYNC_SHARE,
            held_out=hardware.name in HELD_OUT_SYSTEMS or mix.name in HELD_OUT_MIXES,
        )
    )


def _fits(mix: Workload, hardware: Hardware) -> bool:
    sample = mix.pool(0, _LONG_PROMPT_TOKENS)
    mean = sum(shape.prompt_tokens + shape.output_tokens for shape in sample) / len(sample)
    return hardware.kv_tokens >= _LEAST_REQUESTS * mean


def _physics(source: random.Random, straight: StepPhysics, *, hidden: bool) -> StepPhysics:
    overlap, share, eager = (
        nature.OVERLAP.draw(source),
        VISIBLE_DECODE_SHARE.draw(source),
        nature.EAGER_RATIO.draw(source),
    )
    prompt, interference = nature.PROMPT_BEND.draw(source), nature.INTERFERENCE.draw(source)
    bends, interferes = source.random() < BENT_SHARE, source.random() < BENT_SHARE
    straight = replace(straight, sharpness=nature.SHARPNESS.draw(source))
    if hidden:
        return replace(straight, overlap=overlap)
    return replace(
        straight,
        decode_share=share,
        eager_seconds=eager * (straight.host_seconds + straight.weight_seconds),
        prompt_bend=prompt if bends else 0.0,
        interference=interference if interferes else 0.0,
    )
