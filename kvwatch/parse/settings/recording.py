"""Settings as a recording keeps them."""

from __future__ import annotations

from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.json import get, of_json
from kvwatch.parse.settings.sizes import size


def settings_from_recording(body: bytes) -> Settings | None:
    """A recording's ``settings.json``: the settings at its top; ``None`` where it has none."""
    found = of_json(body)
    settings = Settings(
        max_num_seqs=size(get(found, "max_num_seqs")),
        max_num_batched_tokens=size(get(found, "max_num_batched_tokens")),
        max_model_len=size(get(found, "max_model_len")),
    )
    return None if settings == Settings() else settings.over(Settings(source=SettingSource.RECORDING))
