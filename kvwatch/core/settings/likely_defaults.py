"""What may a server have set by itself where nobody says it? vLLM's defaults, by device, beside what was seen."""

from __future__ import annotations

from collections.abc import Mapping

from kvwatch.core.assumptions import Assumed
from kvwatch.core.settings.setting import RANK, Setting
from kvwatch.facts import Settings, SettingSource
from kvwatch.parse.settings.defaults import GPU_SMALL, Defaults, possible_defaults


def possible(reports: Mapping[SettingSource, Settings], budget: int | None) -> tuple[Defaults, ...]:
    """What the server may have taken by itself, as far as the sources tell its device."""
    device = workers = own_budget = version = None
    for source in RANK:
        report = reports.get(source, Settings())
        device = device or report.device
        workers = workers or report.world_size
        own_budget = own_budget or report.own_budget_tokens
        version = version or report.version
    rows = possible_defaults(device, workers, version)
    return tuple(row for row in rows if row.max_num_batched_tokens == (own_budget or budget)) if own_budget else rows


def default_setting(defaults: Mapping[str, int], seen: int, least: int, *, complete: bool) -> Setting:
    """The default by the devices that are possible beside what was seen; that of a small GPU where several are.

    A value that somebody gave may be as low as what was ``seen`` of it, and as ``least``.
    It is known, and not assumed, where a source shows that nothing else was given and the device leaves one value.
    """
    lowest = max(seen, min(defaults.values(), default=least) if complete else least)
    found = {device: value for device, value in defaults.items() if value >= lowest}
    if not found:
        return Setting()
    value, lower, upper = found.get(GPU_SMALL, min(found.values())), min(found.values()), max(found.values())
    known = complete and lower == upper
    return Setting(value, SettingSource.DEFAULT, assumed=None if known else Assumed(value, lower, upper, lowest))
