"""Which value of a setting is believed: what is measured, then what the server itself shows, then what others say.

A pure function of what each source says and of what the metrics show. A source that is contradicted is named, so that
the operator hears of it; where nothing is said, vLLM's own defaults are assumed, and how far they may be off is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from kvwatch.core.assumptions import Assumptions
from kvwatch.core.settings.likely_defaults import default_setting, possible
from kvwatch.core.settings.setting import RANK, Said, Setting
from kvwatch.core.settings.standing_batch import Standing
from kvwatch.facts import VLLM, Settings, SettingSource

_HEARSAY = (SettingSource.CONFIG, SettingSource.RECORDING, SettingSource.UNKNOWN, SettingSource.POD)
"""Sources that may be about another server, or out of date: an operator is told where these are wrong."""
_NEAR_SEATS = 2
"""Difference up to which seats that are not measured exactly are those that are said [requests]. Choice: the error of
such a measurement."""
_NEAR_RATIO = 0.02
"""The same for many seats [1]. Choice: likewise."""
_NEAR_BUDGET_RATIO = 0.1
"""Distance up to which a measured token budget is the one that is said [1]. Choice: twice the error of a count over a
hundred steps."""
_LEAST_BUDGET = 512
"""Lowest token budget that is thought of where nothing is said [tokens]. Data sheet: the default of vLLM up to 0.6,
config.py, below all later ones."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics show since the server started.

    Attributes:
        seats: As the batch stands under a queue.
        most_running: Most requests that ran at once: the seats are no fewer.
        budget: Token budget, as full steps show it.
        budget_floor: Tokens of a mean step at most: the budget is no lower.
    """

    seats: Standing | None = None
    most_running: int = 0
    budget: int | None = None
    budget_floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Weighed:
    """The settings that are computed with.

    ``settings`` holds what is known of them, and nothing that is assumed; ``assumptions`` the rest.
    """

    max_num_seqs: Setting
    max_num_batched_tokens: Setting
    max_model_len: Setting
    settings: Settings
    assumptions: Assumptions
    sources: Mapping[str, SettingSource]
    """Who says each of the other fields of ``settings`` that are known."""

    def __bool__(self) -> bool:
        """Whether anything is known, and not only assumed."""
        return self.settings != Settings()


def weigh(reports: Mapping[SettingSource, Settings], measured: Measured, server: str = VLLM) -> Weighed:
    """The settings of one engine, from what each source reports and what the metrics show of it.

    The defaults are vLLM's, so that nothing is assumed of another ``server``.
    """
    seats = _seats(list(_said(reports, "max_num_seqs", RANK)), measured)
    budget = _budget(list(_said(reports, "max_num_batched_tokens", RANK)), measured)
    # the API always shows the longest request as it came to be
    length = _believed(list(_said(reports, "max_model_len", (RANK[0], RANK[-1], *RANK[1:-1]))))
    rows = possible(reports, budget.value) if server == VLLM else ()
    complete = any(report.complete for report in reports.values())
    if seats.value is None:
        defaults = {row.device: row.max_num_seqs for row in rows}
        seats = replace(default_setting(defaults, measured.most_running, 1, complete=complete), refuted=seats.refuted)
    if budget.value is None:
        defaults = {row.device: row.max_num_batched_tokens for row in rows}
        default = default_setting(defaults, round(measured.budget_floor), _LEAST_BUDGET, complete=complete)
        budget = replace(default, refuted=budget.refuted)
    base = Settings()
    sources: dict[str, SettingSource] = {}
    for source in RANK:
        report = reports.get(source, Settings())
        base = base.over(report)
        for one in fields(report):
            if getattr(report, one.name) is not None and one.name not in ("source", "complete"):
                sources.setdefault(one.name, source)
    settings = replace(
        base,
        max_num_seqs=seats.value if seats.assumed is None else None,
        max_num_batched_tokens=budget.value if budget.assumed is None else None,
        max_model_len=length.value,
    )
    return Weighed(seats, budget, length, settings, Assumptions(seats.assumed, budget.assumed), sources)


def _said(reports: Mapping[SettingSource, Settings], name: str, rank: tuple[SettingSource, ...]) -> Iterator[Said]:
    for source in rank:
        value = getattr(reports[source], name) if source in reports else None
        if value is not None:
            yield Said(value, source)


def _believed(said: list[Said], chosen: Said | None = None) -> Setting:
    """The chosen value, else the best that is said; hearsay that differs from it is refuted."""
    chosen = chosen or next(iter(said), None)
    if chosen is None:
        return Setting()
    wrong = tuple(one for one in said if one.value != chosen.value and one.source in _HEARSAY)
    return Setting(chosen.value, chosen.source, wrong)


def _seats(said: list[Said], measured: Measured) -> Setting:
    standing = measured.seats
    if standing is not None:
        near = 0.0 if standing.exact else max(_NEAR_SEATS, _NEAR_RATIO * standing.seats)
        return _against(said, standing.seats, near)
    return _at_least(said, measured.most_running)


def _budget(said: list[Said], measured: Measured) -> Setting:
    if measured.budget is not None:
        return _against(said, measured.budget, _NEAR_BUDGET_RATIO * measured.budget)
    return _at_least(said, measured.budget_floor)


def _against(said: list[Said], measured: int, near: float) -> Setting:
    """The best of what is said that agrees with what is measured, else that itself."""
    agrees = next((one for one in said if abs(one.value - measured) <= near), None)
    if agrees is not None:
        return _believed(said, agrees)
    return Setting(measured, SettingSource.MEASURED, tuple(said))


def _at_least(said: list[Said], floor: float) -> Setting:
    """The best of what is said that is possible beside what was seen."""
    possible = [one for one in said if one.value >= floor]
    impossible = tuple(one for one in said if one.value < floor)
    found = _believed(possible)
    wrong = dict.fromkeys((*impossible, *found.refuted))
    return replace(found, refuted=tuple(wrong))
