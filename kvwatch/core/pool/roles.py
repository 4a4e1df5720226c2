"""Where prefill and decode are apart: the pool that binds, and how engines are best split between the two."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.views import ModelView

_DISAGGREGATED = ("prefill", "decode")
"""The roles of a model whose prefill and decode are apart (definition)."""


def with_roles(views: list[ModelView]) -> list[ModelView]:
    """The views, with the pool that binds and the best split where a model's prefill and decode are apart."""
    pools = {(v.model_name, v.role): v for v in views}
    for model_name in {v.model_name for v in views}:
        prefill, decode = (pools.get((model_name, role)) for role in _DISAGGREGATED)
        if prefill is None or decode is None:
            continue
        if prefill.model_utilization is not None and decode.model_utilization is not None:
            binding = max(prefill, decode, key=lambda v: v.model_utilization or 0.0)
            pools[model_name, binding.role] = replace(binding, model_binding_role=1.0)
        total = round(prefill.model_engines["serving"] + decode.model_engines["serving"])
        if prefill.mean_service_rate is None or decode.mean_service_rate is None or total < len(_DISAGGREGATED):
            continue
        split = best_split(total, prefill.mean_service_rate, decode.mean_service_rate)
        for role, count in zip(_DISAGGREGATED, split, strict=True):
            key = (model_name, role)
            pools[key] = replace(pools[key], model_recommended_engines=float(count))
    return [pools[v.model_name, v.role] for v in views]


def best_split(engines: int, prefill_rate: float, decode_rate: float) -> tuple[int, int]:
    """(prefill, decode) engines, at least one each, with the highest min(n_p·μ_p, n_d·μ_d)."""
    best = max(range(1, engines), key=lambda n: min(n * prefill_rate, (engines - n) * decode_rate))
    return best, engines - best
