"""The settings of an engine as its view shows them, by vLLM's names."""

from __future__ import annotations

from kvwatch.core.settings.setting import Setting
from kvwatch.core.settings.weigh import Weighed
from kvwatch.facts import SettingSource
from kvwatch.views import SettingView

_OTHERS = {
    "prefill_schedule_interval": "prefill_schedule_interval",
    "watermark": "watermark_ratio",
    "async_scheduling": "async_scheduling",
    "enable_prefix_caching": "enable_prefix_caching",
}
"""vLLM's names, and the fields of :class:`~kvwatch.facts.Settings` that hold them."""


def setting_views(weighed: Weighed) -> dict[str, SettingView]:
    """What is known of each setting, or refuted; those of which nothing is known are left out."""
    found = {
        "max_num_seqs": _view(weighed.max_num_seqs),
        "max_num_batched_tokens": _view(weighed.max_num_batched_tokens),
        "max_model_len": _view(weighed.max_model_len),
    }
    for name, field in _OTHERS.items():
        value = getattr(weighed.settings, field)
        source = weighed.sources.get(field, SettingSource.UNKNOWN)
        found[name] = SettingView(value, source)
    return {name: view for name, view in found.items() if view.value is not None or view.refuted}


def _view(setting: Setting) -> SettingView:
    assumed = setting.assumed
    return SettingView(
        setting.value,
        setting.source,
        tuple((said.value, said.source) for said in setting.refuted),
        (assumed.lower, assumed.upper) if assumed is not None else None,
    )
