"""Step laws and KV memory of GPUs that serve language models, derived from data sheets and model shapes.

Memory size, bandwidth and dense bf16 peak are those of NVIDIA's data sheets; parameters and KV bytes per token
(2 · layers · KV heads · head size · 2 bytes) those of the models' published configurations. From them:

    b0 = weights / (bandwidth · 0.75) + 2 ms of host and launch time, + 10 µs for each of 2 all-reduces a layer
    b1 = 12 µs of host time (scheduling, sampling, detokenizing) + a quarter of b2
    b2 = 2 · parameters / (peak · 0.5), over 0.85 with tensor parallelism
    b3 = KV bytes per token / (bandwidth · 0.65)
    M  = (0.9 · memory − weights − 3 GB a GPU) / KV bytes per token

The shares 0.75, 0.65 and 0.5 are the bandwidth and compute utilizations commonly reported for such servers. Decode
tokens pay a quarter of the arithmetic because most of it hides behind reading the weights.

Two checks: an 8B model on one A100 comes out at 12.5 ms a step when idle (80 tokens/s for one request), and at 39 ms
for prompts and outputs uniform on 10–1600 with M = 131,000, where Nie, Si and Zhou (arXiv 2605.04595) print 37.2 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.embedded.step_law import StepLaw

_HOST_SECONDS = 0.002
_ALL_REDUCE_SECONDS = 10e-6
_HOST_SECONDS_PER_SEQUENCE = 12e-6
_DECODE_SHARE = 0.25
_WEIGHT_BANDWIDTH, _KV_BANDWIDTH, _PEAK = 0.75, 0.65, 0.5
_PARALLEL_EFFICIENCY = 0.85
_MEMORY_SHARE, _WORKSPACE_BYTES = 0.9, 3e9


@dataclass(frozen=True, slots=True)
class Gpu:
    """Memory [bytes], bandwidth [bytes/s] and dense bf16 peak [FLOP/s] of the data sheet."""

    memory: float
    bandwidth: float
    peak: float


@dataclass(frozen=True, slots=True)
class Model:
    """Parameters (2 bytes each), layers, and KV bytes per token."""

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

    @property
    def weight_seconds(self) -> float:
        """Time to read the weights once: the part of b0 that arithmetic can hide behind."""
        return 2 * self.model.parameters / (self.gpus * self.gpu.bandwidth * _WEIGHT_BANDWIDTH)

    @property
    def token_seconds(self) -> float:
        """Arithmetic for one token: b2."""
        efficiency = _PARALLEL_EFFICIENCY if self.gpus > 1 else 1.0
        return 2 * self.model.parameters / (self.gpus * self.gpu.peak * _PEAK * efficiency)

    @property
    def law(self) -> StepLaw:
        """The affine step law."""
        reduces = 2 * self.model.layers * _ALL_REDUCE_SECONDS if self.gpus > 1 else 0.0
        return StepLaw(
            self.weight_seconds + _HOST_SECONDS + reduces,
            _HOST_SECONDS_PER_SEQUENCE + _DECODE_SHARE * self.token_seconds,
            self.token_seconds,
            self.model.kv_bytes / (self.gpus * self.gpu.bandwidth * _KV_BANDWIDTH),
        )

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

_QWEN_7B = Model(7.6e9, 28, 57_344)  # Qwen2.5
_LLAMA_3B = Model(3.2e9, 28, 114_688)  # Llama 3.2
_LLAMA_8B = Model(8.0e9, 32, 131_072)  # Llama 3.1
_LLAMA_13B = Model(13.0e9, 40, 819_200)  # Llama 2: one KV head per head
_QWEN_32B = Model(32.8e9, 64, 262_144)  # Qwen2.5
_LLAMA_70B = Model(70.6e9, 80, 327_680)  # Llama 3.1

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
