"""GPUs that serve language models, and the models: what steps cost on them, from data sheets and model shapes.

Memory size, bandwidth and dense bf16 peak are those of NVIDIA's data sheets; parameters and KV bytes per token
(2 · layers · KV heads · head size · 2 bytes) those of the models' published configurations. How much of bandwidth and
arithmetic a server really gets nobody knows beforehand, so it is drawn (:class:`Efficiency`).

Two checks at the typical efficiency: an 8B model on one A100 comes out at 12.5 ms a step when idle (80 tokens/s for one
request), and at 39 ms for prompts and outputs uniform on 10–1600 with M = 131,000, where Nie, Si and Zhou (arXiv
2605.04595) print 37.2 ms.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench.accuracy import nature
from bench.accuracy.step_physics import StepPhysics
from kvwatch.embedded.step_law import StepLaw

_MEMORY_SHARE = 0.9
"""Share of the memory that vLLM uses. [definition: gpu_memory_utilization's default for years]"""
_WORKSPACE_BYTES = 3e9
"""What activations and CUDA graphs take of a GPU. [choice]"""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a server gets out of its GPUs: shares of the data sheet's figures, and times in seconds."""

    weight_bandwidth: float
    kv_bandwidth: float
    peak: float
    parallel: float
    host_seconds: float
    all_reduce_seconds: float
    sequence_seconds: float
    decode_share: float

    @classmethod
    def drawn(cls, source: random.Random) -> Efficiency:
        """Of one engine."""
        return cls(*(r.draw(source) for r in _RANGES))


_RANGES = (
    nature.WEIGHT_BANDWIDTH,
    nature.KV_BANDWIDTH,
    nature.PEAK,
    nature.PARALLEL_EFFICIENCY,
    nature.HOST_SECONDS,
    nature.ALL_REDUCE_SECONDS,
    nature.HOST_SECONDS_PER_SEQUENCE,
    nature.DECODE_SHARE,
)
TYPICAL = Efficiency(0.75, 0.65, 0.5, 0.85, 0.002, 10e-6, 12e-6, 0.25)
"""Within all ranges, for benches that need one machine and no scatter. [choice: shares commonly reported]"""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory [bytes], bandwidth [bytes/s] and dense bf16 peak [FLOP/s] of the data sheet."""

    memory: float
    bandwidth: float
    peak: float


@dataclass(frozen=True, slots=True)
class Model:
    """Its published name, parameters (2 bytes each), layers, and KV bytes per token."""

    name: str
    parameters: float
    layers: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """A model on ``gpus`` GPUs with tensor parallelism."""

    name: str
    gpu: Gpu
    model: Model
    gpus: int = 1

    def physics(self, efficiency: Efficiency) -> StepPhysics:
        """What steps cost, one thing after the other and without bends."""
        e, gpu, model = efficiency, self.gpu, self.model
        reduces = 2 * model.layers * e.all_reduce_seconds if self.gpus > 1 else 0.0
        return StepPhysics(
            host_seconds=e.host_seconds + reduces,
            weight_seconds=2 * model.parameters / (self.gpus * gpu.bandwidth * e.weight_bandwidth),
            sequence_seconds=e.sequence_seconds,
            token_seconds=2 * model.parameters / (self.gpus * gpu.peak * e.peak * (e.parallel if self.gpus > 1 else 1)),
            resident_seconds=model.kv_bytes / (self.gpus * gpu.bandwidth * e.kv_bandwidth),
            decode_share=e.decode_share,
        )

    @property
    def law(self) -> StepLaw:
        """The affine step law of the typical efficiency."""
        p = self.physics(TYPICAL)
        decode = p.sequence_seconds + p.decode_share * p.token_seconds
        return StepLaw(p.host_seconds + p.weight_seconds, decode, p.token_seconds, p.resident_seconds)

    @property
    def kv_tokens(self) -> int:
        """M, tokens."""
        free = self.gpus * (_MEMORY_SHARE * self.gpu.memory - _WORKSPACE_BYTES) - 2 * self.model.parameters
        return int(free / self.model.kv_bytes)


_L4 = Gpu(24e9, 300e9, 121e12)
_A10 = Gpu(24e9, 600e9, 125e12)
_L40S = Gpu(48e9, 864e9, 362e12)
_A100_40 = Gpu(40e9, 1555e9, 312e12)
_A100_80 = Gpu(80e9, 2039e9, 312e12)
_H100 = Gpu(80e9, 3350e9, 989e12)
_H200 = Gpu(141e9, 4800e9, 989e12)

_QWEN_7B = Model("Qwen/Qwen2.5-7B-Instruct", 7.6e9, 28, 57_344)
_LLAMA_3B = Model("meta-llama/Llama-3.2-3B-Instruct", 3.2e9, 28, 114_688)
_LLAMA_8B = Model("meta-llama/Llama-3.1-8B-Instruct", 8.0e9, 32, 131_072)
_LLAMA_13B = Model("meta-llama/Llama-2-13b-chat-hf", 13.0e9, 40, 819_200)  # one KV head per head
_QWEN_32B = Model("Qwen/Qwen2.5-32B-Instruct", 32.8e9, 64, 262_144)
_LLAMA_70B = Model("meta-llama/Llama-3.1-70B-Instruct", 70.6e9, 80, 327_680)

HARDWARE = (
    Hardware("A100-80 8B", _A100_80, _LLAMA_8B),
    Hardware("A100-80 13B", _A100_80, _LLAMA_13B),
    Hardware("A100-40 8B", _A100_40, _LLAMA_8B),
    Hardware("A100-80 70B x4", _A100_80, _LLAMA_70B, 4),
    Hardware("H100 8B", _H100, _LLAMA_8B),
    Hardware("H100 32B x2", _H100, _QWEN_32B, 2),
    Hardware("H100 70B x4", _H100, _LLAMA_70B, 4),
    Hardware("H200 70B x2", _H200, _LLAMA_70B, 2),
    Hardware("H200 70B x8", _H200, _LLAMA_70B, 8),
    Hardware("L40S 8B", _L40S, _LLAMA_8B),
    Hardware("L4 3B", _L4, _LLAMA_3B),
    Hardware("A10 7B", _A10, _QWEN_7B),
    Hardware("A10 3B", _A10, _LLAMA_3B),
)
