"""One setting of a server: its value, who says it, and whose word counts."""

from __future__ import annotations

from dataclasses import dataclass

from kvwatch.core.assumptions import Assumed
from kvwatch.facts import SettingSource

RANK = (
    SettingSource.SERVER_INFO,
    SettingSource.LOG,
    SettingSource.PROCESS,
    SettingSource.EXPOSITION,
    SettingSource.CONFIG,
    SettingSource.RECORDING,
    SettingSource.UNKNOWN,
    SettingSource.POD,
    SettingSource.MODELS,
)
"""Whose word counts, the best first: the running server's own, then what somebody wrote down about it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A value and who says it."""

    value: int
    source: SettingSource


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its value, who it is from, and who is contradicted; ``assumed`` where nobody says it."""

    value: int | None = None
    source: SettingSource = SettingSource.UNKNOWN
    refuted: tuple[Said, ...] = ()
    assumed: Assumed | None = None
