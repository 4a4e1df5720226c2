"""What a model's name says about its experts."""

from __future__ import annotations

import pytest

from kvwatch.core.steps.model_experts import expert_ratio


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("deepseek-ai/DeepSeek-V3.1", 8 / 256),
        ("/models/Qwen3-235B-A22B-Instruct-2507-FP8", 8 / 128),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", 8 / 160),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 10 / 512),
        ("openai/gpt-oss-120b", 4 / 128),
        ("gpt-oss-20b", 4 / 32),
        ("moonshotai/Kimi-K2.5", 8 / 384),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", 1 / 128),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 2 / 8),
        ("zai-org/GLM-4.5-Air", 8 / 128),
        ("Qwen/Qwen1.5-MoE-A2.7B-Chat", 4 / 60),
        ("deepseek-ai/DeepSeek-V2-Lite", 6 / 64),
        ("deepseek-ai/DeepSeek-Coder-V2-Instruct", 6 / 160),
        ("allenai/OLMoE-1B-7B-0125", 8 / 64),
        ("databricks/dbrx-instruct", 4 / 16),
        ("zai-org/GLM-4.6", 8 / 160),
    ],
)
def test_a_public_mixture_is_known_by_its_name(name: str, ratio: float) -> None:
    """k/E as its configuration file has it, whatever folder or quantisation stands around the name."""
    assert expert_ratio(name) == pytest.approx(ratio)


def test_a_name_that_tells_total_and_active_parameters_tells_the_ratio_roughly() -> None:
    """Two thirds of active over total: attention is active throughout."""
    assert expert_ratio("vendor/New-100B-A10B") == pytest.approx(0.065)


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.1-8B-Instruct",
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen/Qwen3-14B",
        "mistralai/Mistral-7B-v0.3",
        "google/gemma-3-27b-it",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    ],
)
def test_a_public_dense_model_is_known_by_its_name(name: str) -> None:
    """Families of which every size is dense."""
    assert expert_ratio(name) == 0.0


@pytest.mark.parametrize("name", ["prod-chat", "small", "m", "gw-prod-1", "my-finetune-v3"])
def test_an_alias_tells_nothing(name: str) -> None:
    """Nothing is guessed."""
    assert expert_ratio(name) is None
