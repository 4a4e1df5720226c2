"""A planned engine that nobody has measured: memory from the model's config.json, step time from the GPU's data sheet.

A step reads the weights that its tokens need, and the KV of all that run, from memory; and it computes: two operations
a weight and token. The longer of the two is what a step takes, besides what launching it costs. Real kernels reach 60
to 90% of a memory's data sheet and 35 to 70% of the arithmetic's, so μ is known to a factor, and its interval says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.planning.engine import Basis, Known, PlannedEngine

_GB = 1e9
_BANDWIDTH_RATIO = 0.75
"""Of a memory's bandwidth that kernels reach [1]. Choice: the middle of 60 to 90%, seen in decoding."""
_ARITHMETIC_RATIO = 0.5
"""Of the arithmetic's data sheet [1]. Choice: the middle of the 35 to 70% that prompts are seen to reach."""
_LAUNCH_SECONDS = 0.002
"""What a step costs besides [s]. Choice: one to four milliseconds are seen, with CUDA graphs and without."""
_RESERVED_RATIO = 0.05
"""Of the memory that vLLM is given, what activations and graphs take [1]. Choice: one to four of 72 GB are seen."""
LOWER_RATIO, UPPER_RATIO = 0.55, 1.5
"""Ends of μ's interval over μ [1]. Choice: what the two ratios above let it be, and some for what is left out."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A data sheet: memory [bytes], its bandwidth [bytes/s], dense 16-bit arithmetic [operations/s]."""

    memory_bytes: float
    bandwidth: float
    operations: float


GPUS: Mapping[str, Gpu] = {
    "a10": Gpu(24 * _GB, 0.6e12, 125e12),
    "a100": Gpu(80 * _GB, 2.04e12, 312e12),
    "b200": Gpu(180 * _GB, 8.0e12, 2250e12),
    "h100": Gpu(80 * _GB, 3.35e12, 989e12),
    "h200": Gpu(141 * _GB, 4.8e12, 989e12),
    "l4": Gpu(24 * _GB, 0.3e12, 121e12),
    "l40s": Gpu(48 * _GB, 0.864e12, 362e12),
    "mi300x": Gpu(192 * _GB, 5.3e12, 1307e12),
}
"""Data sheet: NVIDIA A10, A100 SXM 80 GB, B200, H100 SXM, H200 SXM, L4, L40S; AMD MI300X."""


class ModelError(Exception):
    """A config.json that does not say how large the model is; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Model:
    """Sizes of a model: weights in all and those that every token needs, numbers of experts, KV per token and layer."""

    weights: float
    always: float
    experts: int
    used: int
    kv_values: float
    """Keys and values that a token holds, over all layers."""
    longest: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Model:
        """From a ``config.json`` as Hugging Face's transformers write it.

        Raises:
            ModelError: a size is missing.
        """
        config = config.get("text_config", config)

        def size(*names: str, default: float | None = None) -> float:
            for name in names:
                if isinstance(config.get(name), int | float):
                    return float(config[name])
            if default is None:
                raise ModelError(f"config.json has no {' or '.join(names)}")
            return default

        hidden, layers = size("hidden_size"), size("num_hidden_layers")
        heads = size("num_attention_heads")
        kv_heads = size("num_key_value_heads", default=heads)
        head = size("head_dim", default=hidden / heads)
        vocabulary = size("vocab_size")
        tied = 1 if config.get("tie_word_embeddings") else 2
        experts = int(size("num_local_experts", "n_routed_experts", "num_experts", default=1))
        used = int(size("num_experts_per_tok", "num_experts_per_token", default=1)) if experts > 1 else 1
        inner = size("moe_intermediate_size", "intermediate_size") if experts > 1 else size("intermediate_size")
        attention = hidden * head * (2 * heads + 2 * kv_heads)
        shared = size("n_shared_experts", default=0) * 3 * hidden * inner if experts > 1 else 0.0
        always = vocabulary * hidden * tied + layers * (attention + shared)
        latent = size("kv_lora_rank", default=0)
        per_layer = latent + size("qk_rope_head_dim", default=0) if latent else 2 * kv_heads * head
        one = layers * 3 * hidden * inner
        return cls(
            weights=always + experts * one,
            always=always if experts > 1 else always + one,
            experts=experts,
            used=used,
            kv_values=layers * per_layer,
            longest=int(size("max_position_embeddings", default=32768)),
        )

    @property
    def active(self) -> float:
        """Weights that one token needs."""
        return self.always + (self.weights - self.always) * self.used / self.experts

    def read(self, tokens: float) -> float:
        """Weights that a step of ``tokens`` tokens reads: more experts the more tokens there are."""
        covered = 1 - (1 - self.used / self.experts) ** tokens if self.experts > 1 else 1.0
        return self.always + (self.weights - self.always) * covered


@dataclass(frozen=True, slots=True)
class SheetLaw:
    """Step time by data sheets, of ``gpus`` GPUs that share each layer, and the bytes of a weight and of a KV value."""

    model: Model
    gpu: Gpu
    gpus: int
    weight_bytes: float
    kv_bytes: float

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        del share
        tokens = decoding + prefill_tokens
        read = self.model.read(tokens) * self.weight_bytes + resident_tokens * self.model.kv_values * self.kv_bytes
        memory = read / (self.gpus * self.gpu.bandwidth * _BANDWIDTH_RATIO)
        arithmetic = 2 * self.model.active * tokens / (self.gpus * self.gpu.operations * _ARITHMETIC_RATIO)
        return _LAUNCH_SECONDS + max(memory, arithmetic)

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """Mean over steps with prompt tokens and without."""
        if prefill_share <= 0:
            return self.step_seconds(decoding, 0.0, resident_tokens, 0.0)
        within = self.step_seconds(decoding, prefill_tokens / prefill_share, resident_tokens, 1.0)
        without = self.step_seconds(decoding, 0.0, resident_tokens, 0.0)
        return prefill_share * within + (1 - prefill_share) * without


def sheet_engine(  # noqa: PLR0913 (one for each thing that is given)
    model: Model,
    gpu_name: str,
    pool: tuple[RequestShape, ...],
    *,
    gpus: int = 1,
    weight_bytes: float = 2.0,
    kv_bytes: float = 2.0,
    memory_utilization: float = 0.9,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 8192,
) -> PlannedEngine:
    """An engine of ``gpus`` GPUs that share the model.

    Raises:
        ModelError: the model does not fit.
    """
    gpu = GPUS[gpu_name]
    given = gpus * gpu.memory_bytes * memory_utilization
    left = given * (1 - _RESERVED_RATIO) - model.weights * weight_bytes
    kv_tokens = int(left / (model.kv_values * kv_bytes))
    if kv_tokens < 1024:
        raise ModelError(
            f"the model's {model.weights * weight_bytes / _GB:.0f} GB leave no room for KV on {gpus} × {gpu_name}; "
            "give more GPUs, or fewer bytes a weight"
        )
    settings = SchedulerSettings.from_capacity(
        kv_tokens,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_model_len=min(model.longest, kv_tokens),
    )
    sized = f"{model.weights / _GB:.1f} billion weights, {model.active / _GB:.1f} a token"
    return PlannedEngine(
        tuple(shape for shape in pool if shape.prompt_tokens + shape.output_tokens <= settings.max_model_len),
        settings,
        SheetLaw(model, gpu, gpus, weight_bytes, kv_bytes),
        lower_ratio=LOWER_RATIO,
        upper_ratio=UPPER_RATIO,
        basis=(
            Basis("model", sized, Known.DATA_SHEET),
            Basis("KV memory", f"{kv_tokens} tokens of {gpus} × {gpu_name}", Known.DATA_SHEET),
            Basis(
                "step time", f"bandwidth and arithmetic of {gpus} × {gpu_name}, as kernels usually reach", Known.ASSUMED
            ),
            Basis(
                "settings", f"max_num_seqs {max_num_seqs}, max_num_batched_tokens {max_num_batched_tokens}", Known.GIVEN
            ),
        ),
    )
