"""Servers of mixtures of experts, as measured and published by others.

What a decoding step takes at each batch size was read off public measurements, and host, weights, experts and work per
sequence separated by least squares; the rest (prompts, KV cache, memory) follows from data sheets and model shapes.
Sources: Kimi and DeepSeek-V4 Prathmesh234/mutliturn-inferenceX@21cc5b9, all others ml-energy/leaderboard@0cd52da, or as
noted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MoeSystem:
    """A model on its GPUs.

    Attributes:
        name: For tables.
        model_name: What vLLM calls the model.
        experts: E, routed experts of a layer.
        inclusion: Share of them that a token touches, as far as the published curve shows.
        base_ms: What every decoding step takes: host and the weights that all tokens share [ms].
        experts_ms: Reading all experts [ms].
        sequence_us: A decoding sequence [µs].
        token_us: A prompt token [µs].
        resident_ns: A resident token [ns].
        kv_tokens: M.
        eager_ms: What steps with prompt tokens take longer, beyond reading all experts [ms].
    """

    name: str
    model_name: str
    experts: int
    inclusion: float
    base_ms: float
    experts_ms: float
    sequence_us: float
    token_us: float
    resident_ns: float
    kv_tokens: int
    eager_ms: float


SYSTEMS = (
    MoeSystem("gpt-oss-120b B200", "openai/gpt-oss-120b", 128, 0.030, 3.0, 9.6, 24, 13, 7, 1_400_000, 2),
    MoeSystem("gpt-oss-120b H100 x2", "openai/gpt-oss-120b", 128, 0.020, 5.4, 9.2, 54, 17, 8.5, 1_000_000, 3),
    MoeSystem("Qwen3-235B H100 x8", "Qwen/Qwen3-235B-A22B", 128, 0.049, 11.1, 25.0, 77, 19, 11, 426_000, 5),
    MoeSystem(
        "Qwen3-235B B200 x4", "Qwen/Qwen3-235B-A22B-Instruct-2507", 128, 0.025, 14.3, 27.6, 42, 16, 9.3, 860_000, 0
    ),
    MoeSystem("DeepSeek-V3.1 B200 x8", "deepseek-ai/DeepSeek-V3.1", 256, 0.030, 12.1, 19.3, 57, 8, 13.5, 1_070_000, 10),
    MoeSystem(
        "Qwen3-Coder-30B H100", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 128, 0.072, 5.1, 13.8, 110, 19, 45, 81_000, 0
    ),
    # scaled from the H100 by bandwidth; 58 ms at 511 sequences as published
    MoeSystem("Qwen3-30B B200", "Qwen/Qwen3-30B-A3B", 128, 0.060, 3.2, 6.5, 90, 10, 19, 900_000, 1),
    MoeSystem("Kimi-K2.5 GB300 x4", "moonshotai/Kimi-K2.5", 384, 0.025, 6.4, 22.8, 15, 50, 5, 3_100_000, 40),
    MoeSystem("DeepSeek-V4 GB300 x4", "deepseek-ai/DeepSeek-V4", 256, 0.059, 11.8, 11.8, 180, 37, 5, 2_000_000, 200),
    MoeSystem(
        "Mixtral-8x7B H100 x2", "mistralai/Mixtral-8x7B-Instruct-v0.1", 8, 0.25, 4.0, 13.3, 15, 44, 30, 343_000, 2
    ),
    MoeSystem(
        "Llama-4-Maverick H100 x8", "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", 128, 0.018, 9.7, 9.1, 65, 7,
        11, 745_000, 3,
    ),
    MoeSystem(
        "Llama-4-Scout H100 x4", "meta-llama/Llama-4-Scout-17B-16E-Instruct", 16, 0.087, 15.2, 16.1, 75, 14, 15,
        520_000, 3,
    ),
)  # fmt: skip
"""Prompt costs and waits of steps with prompts are rough for all but the GB300 [75 and 262 ms with a prompt at 4 in
flight], memories for all but those of data sheets: they set which limit binds, and do not decide about accuracy."""
