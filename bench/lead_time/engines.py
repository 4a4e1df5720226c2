"""Small engines with the dynamics of large ones.

A request lives ten seconds and a few are served a second, as on a GPU that serves a model of tens of gigabytes; but
it has a quarter of the tokens, steps take four times as long, and twenty to fifty requests fill it. What decides
about queues (how many requests run, how long they live, how the step time grows with them) is kept, and the cost is
that of a few steps a second. Every fourth one is a mixture of experts, whose steps get longer with each expert that the
first few requests touch.
"""

from __future__ import annotations

import random
from dataclasses import replace

from bench.accuracy import nature
from bench.accuracy.engines import TrueEngine, filled
from bench.accuracy.moe_engines import PADDED_SHARE, SKEW
from bench.accuracy.nature import Range
from bench.accuracy.routing import Routing
from bench.accuracy.step_physics import StepPhysics
from bench.accuracy.true_clock import Disturbance
from bench.accuracy.workloads import Classes, Workload, composition
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.workload import Lognormal, Uniform

_BLOCK_TOKENS = 16
_LONGEST_TOKENS = 640
_ROOM = 1.6
"""How much farther than the wanted limit the others are."""

WORKLOADS = (
    Workload("even", Uniform((10, 200), (10, 160))),
    Workload("long outputs", Uniform((10, 120), (20, 180))),
    Workload("chat", Lognormal(80, 0.7, 70, 0.6, 0.2, longest_tokens=220)),
    Workload("chat with a shared prompt", Lognormal(60, 0.7, 70, 0.6, 0.2, 128, 1, 180), 1),
    Workload("correlated", Lognormal(90, 0.6, 70, 0.5, 0.8, longest_tokens=220)),
    Workload("long prompts", Lognormal(260, 0.4, 40, 0.5, longest_tokens=500)),
    Workload("two classes", Classes(Lognormal(50, 0.4, 120, 0.3), Lognormal(250, 0.3, 30, 0.4, longest_tokens=400))),
)
_LIMITS = ("kv", "kv", "seqs", "kv", "tokens")
_RUNNING = (28, 36, 44)
_FULL_SECONDS = (0.12, 0.16, 0.2)
_BASE_SHARES = (0.3, 0.45, 0.6)
_WEIGHT_SHARE = 0.6
"""Share of the step at small batches that is reading weights. [choice]"""
_BURSTINESS = (1.0, 1.0, 1.0, 1.5)
_EXPERTS_EVERY = 4
"""One engine of so many is a mixture of experts. [choice: as many as cases of each scrape interval]"""
_EXPERTS = (64, 128, 256)
_INCLUSION = Range(0.03, 0.08)
"""Share of a layer's experts that one token touches. [those of bench/accuracy/moe_systems.py]"""
_EXPERT_SHARE = Range(0.6, 0.9)
"""Share of the weights read by a full batch that is experts'. [likewise]"""
_NATURE_SEED = 9000
"""Of the bends of engine 0; the next engine has the next."""
ENGINES = 24


def engine(index: int) -> TrueEngine:
    """The engine of that number; the same each time."""
    source = random.Random(7000 + index)
    workload = WORKLOADS[index % len(WORKLOADS)]
    limit = _LIMITS[index % len(_LIMITS)]
    if limit == "tokens" and workload.name != "long prompts":
        limit = "kv"
    running = source.choice(_RUNNING)
    pool = workload.pool(index, _LONGEST_TOKENS)
    settings = _settings(pool, running, limit, sharing=workload.prefixes > 0)
    straight = _straight(source, pool, settings)
    kind = source.choice(nature.KINDS)
    physics = nature.bent(straight, kind, random.Random(_NATURE_SEED + index))
    if index % _EXPERTS_EVERY == _EXPERTS_EVERY - 1:
        kind, physics = f"experts, {kind}", _with_experts(physics, index, running)
    return filled(
        TrueEngine(
            index=index,
            system="small",
            model_name="small",
            workload=workload,
            settings=settings,
            kind=kind,
            physics=physics,
            disturbance=Disturbance(source.choice((0.0, 0.0, 0.05)), source.choice((None, None, 60.0))),
            burstiness=source.choice(_BURSTINESS),
            pool=pool,
        )
    )


def _with_experts(physics: StepPhysics, index: int, running: int) -> StepPhysics:
    """The same with most weights in experts: alike for a full batch, less to read for a small one."""
    source = random.Random(_NATURE_SEED + 500 + index)
    routing = Routing(source.choice(_EXPERTS), _INCLUSION.draw(source), source.choice(SKEW).draw(source), index)
    experts = _EXPERT_SHARE.draw(source) * physics.weight_seconds
    return replace(
        physics,
        weight_seconds=physics.weight_seconds - experts,
        expert_seconds=experts / routing.read_share(running),
        routing=routing,
        padded=source.random() < PADDED_SHARE,
    )


def with_pool(other: TrueEngine, pool: tuple[RequestShape, ...]) -> TrueEngine:
    """The same engine under other traffic."""
    return replace(other, pool=pool)


def _settings(pool: tuple[RequestShape, ...], running: int, limit: str, *, sharing: bool) -> SchedulerSettings:
    """Memory, seats and budget under which ``limit`` binds at about ``running`` requests."""
    c = composition(pool, _BLOCK_TOKENS, 512)
    room = {name: running * (1.0 if name == limit else _ROOM) for name in ("kv", "seqs", "tokens")}
    seats = round(room["seqs"])
    budget = round(room["tokens"] * c.compute_tokens / c.steps)
    return SchedulerSettings.from_capacity(
        max(round(room["kv"] * c.memory_token_steps / c.steps + c.held_once), 2 * _LONGEST_TOKENS),
        block_size_tokens=_BLOCK_TOKENS,
        max_num_seqs=seats,
        max_num_batched_tokens=budget if limit == "tokens" else max(budget, 256),
        max_model_len=_LONGEST_TOKENS,
        enable_prefix_caching=sharing,
    )


def _straight(source: random.Random, pool: tuple[RequestShape, ...], settings: SchedulerSettings) -> StepPhysics:
    """Steps that take a tenth of a second or two at full load, one cost after the other and without bends."""
    c = composition(pool, settings.block_size_tokens, settings.max_num_batched_tokens)
    limits = c.concurrency(settings.kv_capacity_tokens, settings.max_num_seqs, settings.max_num_batched_tokens)
    running = min(limits.values())
    prefill = running * (c.compute_tokens - c.output_tokens) / c.steps
    resident = running * c.memory_token_steps / c.steps + c.held_once
    full, base = source.choice(_FULL_SECONDS), source.choice(_BASE_SHARES)
    prompt = min(0.1 + 0.02 * prefill / running, 0.5) * (1 - base)
    decode = (1 - base - prompt) / 2
    return StepPhysics(
        host_seconds=(1 - _WEIGHT_SHARE) * full * base,
        weight_seconds=_WEIGHT_SHARE * full * base,
        sequence_seconds=full * decode / running,
        token_seconds=full * prompt / max(prefill, 1.0),
        resident_seconds=full * decode / resident,
    )
