"""k/E of a mixture of experts, from the model's name: each token is sent to k of E experts in every such layer.

vLLM shows the name it serves a model under and nothing of its architecture. Most names are those of public models,
whose configuration files say E and k (``num_experts``, ``n_routed_experts`` or ``num_local_experts``, and
``num_experts_per_tok``); an alias tells nothing, and then the configuration of kvwatch may (``experts``).
"""

from __future__ import annotations

import re
from functools import lru_cache

from kvwatch.constants import TINY

_PUBLISHED = (
    (r"deepseek-(v3|r1(?!-distill))", 8, 256),
    (r"deepseek-v4", 6, 256),
    (r"deepseek-(v2|coder-v2)(\.5)?-lite", 6, 64),
    (r"deepseek-(v2|coder-v2)", 6, 160),
    (r"kimi-k2", 8, 384),
    (r"qwen3-coder-480b", 8, 160),
    (r"qwen3-(235b|30b|coder-30b)", 8, 128),
    (r"qwen3-(coder-)?next", 10, 512),
    (r"qwen1\.5-moe", 4, 60),
    (r"gpt-oss-120b", 4, 128),
    (r"gpt-oss-20b", 4, 32),
    (r"llama-4-maverick", 1, 128),
    (r"llama-4-scout", 1, 16),
    (r"glm-4\.[567]-air", 8, 128),
    (r"glm-4\.[567](?!v?-flash)", 8, 160),
    (r"minimax-m2", 8, 256),
    (r"olmoe", 8, 64),
    (r"phi-?3\.5-moe", 2, 16),
    (r"dbrx", 4, 16),
    (r"grok-1", 2, 8),
    (r"jamba", 2, 16),
    (r"hunyuan-a13b", 8, 64),
)
"""Name, k and E [1]. Data sheet: the models' published config.json; of DeepSeek-V4 k is inferred from its step
times."""

_DENSE = (
    r"(meta-)?llama-?[23](\.\d)?-\d",
    r"codellama",
    r"r1-distill",
    r"qwen2(\.5)?-(coder-|math-)?\d+(\.\d)?b(?!-a\d)",
    r"qwen3-(0\.6|1\.7|4|8|14|32)b",
    r"qwq-32b",
    r"mistral-(7b|nemo|small|large)",
    r"ministral",
    r"codestral",
    r"gemma-?[23]?-\d+b",
    r"phi-?[34](?!\.5-moe)",
    r"opt-\d",
    r"falcon-?3?-\d+b",
    r"olmo-2",
    r"smollm",
    r"yi-(1\.5-)?\d+b",
    r"command-r",
)
"""Families of which every published size is dense [1]. Data sheet: their published config.json."""

_ACTIVE = re.compile(r"(\d+(?:\.\d+)?)b-a(\d+(?:\.\d+)?)b")
"""Names such as Qwen3-235B-A22B tell the parameters in all and those that a token uses [1]. Definition."""
_ACTIVE_RATIO = 0.65
"""k/E over active/total parameters [1]. Data sheet: 0.67 for Qwen3-235B-A22B, 0.63 for Qwen3-30B-A3B."""
_MOST_ACTIVE_RATIO = 0.5
"""Largest k/E that such a name is believed to tell [1]. Choice: with half of its experts active a model is as good as
dense."""
_COUNTED = re.compile(r"\b(\d+)x\d+(?:\.\d+)?b")
_COUNTED_PER_TOKEN = 2
"""k of models whose names tell E, such as Mixtral-8x7B [1]. Data sheet: Mixtral's config.json."""
_REMEMBERED_NAMES = 256
"""Names whose answers are kept [names]. Choice: more models than one kvwatch watches; a name is asked about at each
scrape of each engine, where trying forty patterns is a tenth of all that is computed."""


@lru_cache(maxsize=_REMEMBERED_NAMES)
def expert_ratio(model_name: str) -> float | None:
    """k/E of the model of this name, 0.0 of a dense one, ``None`` where the name does not tell."""
    name = model_name.lower().replace("_", "-")
    for pattern, per_token, experts in _PUBLISHED:
        if re.search(pattern, name):
            return per_token / experts
    if active := _ACTIVE.search(name):
        return min(_ACTIVE_RATIO * float(active[2]) / max(float(active[1]), TINY), _MOST_ACTIVE_RATIO)
    if counted := _COUNTED.search(name):
        return min(_COUNTED_PER_TOKEN / max(int(counted[1]), 1), 1.0)
    return 0.0 if any(re.search(pattern, name) for pattern in _DENSE) else None
