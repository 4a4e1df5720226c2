"""Model folders that vLLM serves with random weights: an architecture and a tokenizer, and nothing to download.

The scheduler, the paged cache and the metrics are the real ones whatever the weights say, so a small Llama is
enough. Its step time is nearly affine in the running sequences, as on a GPU.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FIRST_WORD, VOCABULARY = 3, 1024
"""Token ids ``FIRST_WORD`` … ``VOCABULARY - 1`` are plain words; those below it are unknown, start and end."""

HEAD_SIZE, MAX_POSITIONS = 64, 8192


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how long a step takes: layers, width, and heads of 64."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    experts: int = 0
    """In a mixture of experts: how many each layer has; 0 is a dense model."""
    experts_per_token: int = 0
    expert_hidden: int = 0


TINY = Shape(layers=4, width=256, hidden=512, heads=4, kv_heads=2)
"""Milliseconds a step: for plumbing, where only the names and the counters matter."""

SMALL = Shape(layers=8, width=768, hidden=2048, heads=12, kv_heads=4)
"""Tens of milliseconds a step and about one more a running sequence: for capacity."""

MOE = Shape(layers=6, width=512, hidden=1024, heads=8, kv_heads=4, experts=64, experts_per_token=2, expert_hidden=384)
"""A mixture of experts: the more sequences decode, the more experts a step reads, until all are read."""


def write_model(folder: Path, shape: Shape) -> Path:
    """Write a Llama of ``shape`` and a whitespace tokenizer into ``folder``; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    special = {"<unk>": 0, "<s>": 1, "</s>": 2}
    words = {f"word{i}": i for i in range(FIRST_WORD, VOCABULARY)}
    files = {
        "config.json": {
            **_architecture(shape),
            "num_hidden_layers": shape.layers,
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": HEAD_SIZE,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e4,
            "max_position_embeddings": MAX_POSITIONS,
            "vocab_size": VOCABULARY,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "bos_token_id": special["<s>"],
            "eos_token_id": special["</s>"],
        },
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": special | words, "unk_token": "<unk>"},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "model_max_length": MAX_POSITIONS,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _architecture(shape: Shape) -> dict[str, object]:
    if not shape.experts:
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    return {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "num_experts": shape.experts,
        "num_experts_per_tok": shape.experts_per_token,
        "moe_intermediate_size": shape.expert_hidden,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "norm_topk_prob": True,
        "output_router_logits": False,
        "attention_bias": False,
    }
