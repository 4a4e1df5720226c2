"""Whether the numbers may be believed: which estimates stand, why others do not, and how far the model is off."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models import common

from dashboards import panels as p
from dashboards.queries import Engines, quoted
from dashboards.style import DEMAND, PLAIN, RATIO
from kvwatch.estimate import Reason

_DROPPED = ("Time", "__name__", "instance", "job", "model_name", "target", "engine")
NOT_SHOWN = (Reason.DEPENDS, Reason.DELTA_IS_BOUND)
"""Reasons that would stand there for ever, or twice."""


def reasons() -> dict[str, tuple[str, str | None]]:
    """Each reason of kvwatch in words."""
    return {reason.value: (reason.words or "it stands", None) for reason in Reason}


def estimates(engine: Engines) -> table.Panel:
    """The estimates that do not stand, each with its reason; one that is so for every server is left out."""
    aside = "|".join(NOT_SHOWN)
    panel = (
        p.rows(
            "Estimates that do not stand, and why",
            "Each number that kvwatch estimates and that may not be believed now, and why not. Not among them: what "
            "only follows from another one, and a stable limit that is a lower bound, as it is from metrics alone. "
            "Alerts go by the same verdicts.",
            width=14,
            height=15,
        )
        .with_target(p.as_rows("A", f"{engine.metric('kvwatch_estimate_valid', f'reason!~{quoted(aside)}')} == 0"))
        .no_value("Every estimate stands")
        .cell_height(common.TableCellHeight.SM)
        .override_by_name("Estimate", [p.prop("custom.width", 210)])
        .override_by_name("Why", [p.prop("mappings", [p.words(reasons())])])
    )
    return p.columns(panel, {"estimate": "Estimate", "reason": "Why"}, (*_DROPPED, "Value"))


def gaps(engine: Engines) -> timeseries.Panel:
    """The two checks of the model against what is seen."""
    m = engine.metric
    return (
        p.graph(
            "Model against observation",
            "How far μ is from what is served while requests wait (known only in overload), and how far two "
            "independent estimates of E[g] are apart. Near 0 is good; prefixes shared by requests explain a positive "
            "residual.",
            width=10,
            height=15,
            unit=RATIO,
        )
        .min(-0.5)
        .axis_soft_max(0.5)
        .with_target(p.over_time("A", m("kvwatch_model_gap_ratio"), "gap of μ"))
        .with_target(p.over_time("B", m("kvwatch_occupancy_residual_ratio"), "residual of E[g]"))
        .override_by_query("A", [p.color(PLAIN)])
        .override_by_query("B", [p.color(DEMAND)])
    )


def both(engine: Engines) -> list[table.Panel | timeseries.Panel]:
    """The row."""
    return [estimates(engine), gaps(engine)]
