"""Whether the numbers may be believed: which estimates stand, why others do not, and how far the model is off."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models import common

from dashboards import panels as p
from dashboards.queries import Engines
from dashboards.style import CALM, DEMAND, PLAIN, RATIO, WORRY
from kvwatch.estimate import Reason

_DROPPED = ("Time", "__name__", "instance", "job", "model_name", "target", "engine")


def reasons() -> dict[str, tuple[str, str | None]]:
    """Each reason of kvwatch in words."""
    return {reason.value: (reason.words or "it stands", None) for reason in Reason}


def estimates(engine: Engines) -> table.Panel:
    """Every estimate with its reason, those that do not stand first."""
    panel = (
        p.rows(
            "Estimates and why they do or do not stand",
            "Each number that kvwatch estimates: whether it may be believed, and if not, why. Alerts ignore those that "
            "do not stand.",
            width=14,
            height=15,
        )
        .with_target(p.as_rows("A", f"sort({engine.metric('kvwatch_estimate_valid')})"))
        .cell_height(common.TableCellHeight.SM)
        .override_by_name(
            "Stands",
            [
                p.prop("mappings", [p.words({1: ("yes", CALM), 0: ("no", WORRY)})]),
                p.prop("custom.cellOptions", {"type": "color-text"}),
                p.prop("custom.width", 70),
            ],
        )
        .override_by_name("Estimate", [p.prop("custom.width", 210)])
        .override_by_name("Why", [p.prop("mappings", [p.words(reasons())])])
    )
    return p.columns(panel, {"Value": "Stands", "estimate": "Estimate", "reason": "Why"}, _DROPPED)


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
