"""Planned engines that nobody has measured: sizes of public models, and what physics bounds their rate by."""

from __future__ import annotations

import pytest

from kvwatch.embedded.settings import RequestShape
from kvwatch.planning.data_sheets import GPUS, Model, ModelError, sheet_engine

LLAMA_8B = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
QWEN_30B_A3B = {
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
}


@pytest.mark.parametrize(("config", "weights", "active"), [(LLAMA_8B, 8.03e9, 8.03e9), (QWEN_30B_A3B, 30.5e9, 3.3e9)])
def test_sizes_are_those_that_the_models_are_known_by(config: dict[str, int], weights: float, active: float) -> None:
    """Weights in all and for one token, as their makers publish them."""
    model = Model.of(config)
    assert model.weights == pytest.approx(weights, rel=0.01)
    assert model.active == pytest.approx(active, rel=0.03)


def test_memory_for_kv_is_what_the_weights_leave() -> None:
    """128 KiB a token for Llama 3 8B in 16 bits: 72 GB less 16.06 GB of weights and a twentieth for the rest."""
    engine = sheet_engine(Model.of(LLAMA_8B), "h100", (RequestShape(1000, 200),))
    tokens = (72e9 * 0.95 - 16.06e9) / (32 * 2 * 8 * 128 * 2)
    assert engine.settings.kv_capacity_tokens == pytest.approx(tokens, rel=0.01)
    halved = sheet_engine(Model.of(LLAMA_8B), "h100", (RequestShape(1000, 200),), kv_bytes=1.0)
    assert halved.settings.kv_capacity_tokens == pytest.approx(2 * tokens, rel=0.01)


def test_its_rate_is_below_what_memory_and_arithmetic_allow() -> None:
    """No kernel beats the data sheet; the interval says that the plan is a guess within a factor."""
    shape = RequestShape(1000, 200)
    model, gpu = Model.of(LLAMA_8B), GPUS["h100"]
    engine = sheet_engine(model, "h100", (shape,))
    rate = engine.full().throughput_rps
    operations = 2 * model.active * (shape.prompt_tokens + shape.output_tokens)
    assert 0.3 * gpu.operations / operations < rate < gpu.operations / operations
    assert engine.upper_ratio / engine.lower_ratio > 2


def test_experts_are_read_as_tokens_come() -> None:
    """One token reads what it uses, many read nearly all."""
    model = Model.of(QWEN_30B_A3B)
    assert model.read(1) == pytest.approx(model.active)
    assert model.read(256) > 0.99 * model.weights


def test_what_does_not_fit_or_is_not_said_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(ModelError, match="leave no room for KV on 1 × a10"):
        sheet_engine(Model.of(QWEN_30B_A3B), "a10", (RequestShape(10, 10),))
    with pytest.raises(ModelError, match="has no hidden_size"):
        Model.of({})
