"""The design of engines with mixtures of experts: each system under each mix of traffic, everything unknown drawn."""

from __future__ import annotations

import random
from dataclasses import replace

from bench.accuracy import nature
from bench.accuracy.engines import TrueEngine, filled
from bench.accuracy.moe_systems import SYSTEMS, MoeSystem
from bench.accuracy.nature import Range
from bench.accuracy.routing import Routing
from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.workloads import WORKLOADS, Workload
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Lognormal, Pool

_BY_NAME = {workload.name: workload for workload in WORKLOADS}
_EVEN = Pool(tuple(RequestShape(prompt, 128) for prompt in range(940, 1040, 4)))
MIXES = (
    Workload("chat", Lognormal(400, 1.0, 250, 0.8, longest_tokens=8000)),
    Workload("reasoning", Lognormal(200, 0.6, 2200, 0.6, longest_tokens=12_000)),
    Workload("narrow", _EVEN),
    _BY_NAME["long prompts"],
    _BY_NAME["code completion"],
    Workload("tools", Lognormal(600, 0.9, 300, 0.8, 0.2, 2000, 4, 6000), 4),
)
"""``narrow``: all outputs of one length, prompts within 5%, as load generators ask for. ``tools``: behind shared system
prompts."""
HELD_OUT_SYSTEMS = ("gpt-oss-120b H100 x2", "Qwen3-235B B200 x4", "DeepSeek-V4 GB300 x4", "Llama-4-Scout H100 x4")
HELD_OUT_MIXES = ("code completion", "tools")

_FIRST = 1000
"""Index of the first engine, so that no seed is one of the dense design's."""
_SEATS = (128, 256, 256, 512)
_BUDGETS = (2048, 8192, 8192)
_LONGEST_TOKENS = 16_384
_LONG_PROMPT_TOKENS = 32_768
_LEAST_KV_FOR_LONG_PROMPTS = 300_000
ASYNC_SHARE = 2 / 3
"""Share of engines that schedule a step while the one before runs, vLLM's default on GPUs. [choice]"""
HIDDEN_SHARE = 0.5
"""Share of engines in which reading weights and arithmetic go on side by side. [choice: both are found]"""
PADDED_SHARE = 0.5
"""Share of engines whose decoding steps are as long as those of the next captured graph. [choice]"""
SKEW = (Range(0.05, 0.3), Range(0.5, 1.2))
"""Standard deviation of the logarithm of an expert's popularity: balanced in training or not. [choice]"""
EAGER = Range(0.5, 1.5)
"""Factor on what steps with prompts take longer. [choice]"""
HIDDEN_HOST_SHARE = Range(0.2, 0.5)
"""Share of the base that is host and not reading weights. [choice: 1 to 4 ms of 3 to 15]"""


def moe_design() -> list[TrueEngine]:
    """Seventy-two engines, the same ones each time."""
    pairs = [(system, mix) for system in SYSTEMS for mix in MIXES]
    return [_engine(_FIRST + i, system, mix) for i, (system, mix) in enumerate(pairs)]


def _engine(index: int, system: MoeSystem, mix: Workload) -> TrueEngine:
    source = random.Random(index)
    seats, budget = source.choice(_SEATS), source.choice(_BUDGETS)
    hidden = source.random() < HIDDEN_SHARE
    physics = _physics(source, system, index, hidden=hidden)
    longest = min(_LONGEST_TOKENS, system.kv_tokens // 4)
    if mix.name == "long prompts":
        if system.kv_tokens < _LEAST_KV_FOR_LONG_PROMPTS:
            mix = MIXES[0]
        else:
            longest = _LONG_PROMPT_TOKENS
    settings = SchedulerSettings.from_capacity(
        system.kv_tokens,
        max_num_seqs=seats,
        max_num_batched_tokens=budget,
        max_model_len=longest,
        enable_prefix_caching=mix.prefixes > 0,
    )
    return filled(
        TrueEngine(
            index=index,
            system=system.name,
            model_name=system.model_name,
            workload=mix,
            settings=replace(settings, watermark_ratio=nature.watermark(source)),
            kind="experts, hidden" if hidden else "experts, visible",
            physics=physics,
            disturbance=nature.disturbance(source),
            burstiness=source.choice((1.0, 1.0, 1.5)),
            pool=mix.pool(index, longest),
            async_scheduling=source.random() < ASYNC_SHARE,
            held_out=system.name in HELD_OUT_SYSTEMS or mix.name in HELD_OUT_MIXES,
        )
    )


def _physics(source: random.Random, system: MoeSystem, index: int, *, hidden: bool) -> StepPhysics:
    base, experts = 1e-3 * system.base_ms * nature.alike(source), 1e-3 * system.experts_ms * nature.alike(source)
    sequence, token = 1e-6 * system.sequence_us * nature.alike(source), 1e-6 * system.token_us * nature.alike(source)
    inclusion = min(system.inclusion * nature.alike(source), 0.5)
    skew = source.choice(SKEW).draw(source)
    host = HIDDEN_HOST_SHARE.draw(source)
    # a decoding sequence's published cost holds its arithmetic, which hidden engines count apart
    beside = max(sequence - token, 0.2 * sequence) if hidden else sequence
    overlap, interference = nature.OVERLAP.draw(source), nature.INTERFERENCE.draw(source)
    return StepPhysics(
        host_seconds=host * base,
        weight_seconds=(1 - host) * base,
        sequence_seconds=beside,
        token_seconds=token,
        resident_seconds=1e-9 * system.resident_ns * nature.alike(source),
        overlap=overlap if hidden else None,
        sharpness=nature.SHARPNESS.draw(source),
        expert_seconds=experts,
        routing=Routing(system.experts, inclusion, skew, index),
        eager_seconds=1e-3 * system.eager_ms * EAGER.draw(source),
        padded=source.random() < PADDED_SHARE,
        decode_bend=nature.BEND.draw(source) / 2,
        attention_bend=nature.BEND.draw(source) / 2,
        interference=0.0 if hidden else interference,
    )
