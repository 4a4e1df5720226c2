"""Numbers and graphs of the Fleet dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import common

from dashboards import panels as p
from dashboards.engine_rows import WHEN
from dashboards.queries import NOT_IN_SIGHT, Engines
from dashboards.states import STATES
from dashboards.style import COUNT, DEMAND, LIMIT, MUTED, PLAIN, RATE, RATIO, SECONDS, WAITING, WORRY

FLEET = Engines('model_name=~"$model_name"')
NAME = "{{model_name}} {{role}}"
"""What a line is called: engines that only prefill or decode are a pool of their own."""


def verdict() -> list[stat.Panel]:
    """What is to be known in five seconds."""
    worst = (
        p.value(
            "Worst engine",
            "The state of the engine that is worst off, among the chosen models. The tables below name it.",
            width=7,
        )
        .with_target(p.at_end("A", f"max({FLEET.state})"))
        .mappings([p.words({state.code: (state.sentence, state.color) for state in STATES})])
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .thresholds(p.steps(MUTED))
        .no_value("No engine in sight")
    )
    used = FLEET.by_model("max", FLEET.load_of_limit)
    closest = (
        p.value(
            "Most loaded",
            "The model whose busiest engine is closest to its limit, and how close: at 100% its queue begins to grow "
            "without end.",
            width=5,
            unit=RATIO,
        )
        .with_target(p.at_end("A", f"topk(1, {used})", NAME))
        .decimals(0)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.VERTICAL)
        .thresholds(p.steps(MUTED, (0.0, PLAIN)))
    )
    ahead = FLEET.by_model("min", FLEET.saturation)
    when = (
        p.value(
            "Full next",
            "The model that is at its limit, or reaches it next on the present trend of arrivals, and when.",
            width=5,
            unit=SECONDS,
        )
        .with_target(p.at_end("A", f"bottomk(1, {ahead} < {NOT_IN_SIGHT})", NAME))
        .with_target(p.at_end("B", f"min({ahead}) == {NOT_IN_SIGHT}", "any other"))
        .decimals(0)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.VERTICAL)
        .mappings([p.words(WHEN)])
        .thresholds(p.steps(MUTED, (0.0, PLAIN)))
    )
    add = (
        p.value(
            "Replicas to add",
            "Over all chosen models: what is needed to keep each at the utilization to size for, less what serves now.",
            width=4,
        )
        .with_target(p.at_end("A", f"sum(clamp_min({FLEET.replicas_required} - {FLEET.replicas}, 0))"))
        .thresholds(p.steps(MUTED, (-1e6, PLAIN), (1.0, WORRY)))
    )
    down = (
        p.value(
            "Unreadable",
            "Servers that do not answer kvwatch now, of whatever model: what they do is not known.",
            width=3,
        )
        .with_target(p.at_end("A", "count(kvwatch_target_up == 0) or count(kvwatch_target_up) * 0"))
        .thresholds(p.steps(MUTED, (0.0, PLAIN), (1.0, WORRY)))
    )
    return [worst, closest, when, add, down]


def over_time() -> list[timeseries.Panel]:
    """Each model over time."""
    used = (
        p.graph(
            "Load of each model, share of its limit",
            "Of the engine that is closest to its limit, the red line. Beyond 100% the queue grows without end.",
            unit=RATIO,
        )
        .axis_soft_max(1.1)
        .with_target(p.over_time("A", FLEET.by_model("max", FLEET.load_of_limit), NAME))
        .color_scheme(p.shades(DEMAND))
        .thresholds(p.steps(MUTED, (1.0, LIMIT)))
        .thresholds_style(p.threshold_line())
    )
    missing = (
        p.graph(
            "Replicas to add (above 0) or to spare (below)",
            "Replicas needed to keep the model at the utilization to size for, less those that serve now.",
            unit=COUNT,
            from_zero=False,
        )
        .decimals(0)
        .line_interpolation(common.LineInterpolation.STEP_AFTER)
        .with_target(p.over_time("A", f"{FLEET.replicas_required} - {FLEET.replicas}", NAME))
        .color_scheme(p.by_last_value())
        .thresholds(p.steps(MUTED, (-1e6, PLAIN), (1.0, WORRY)))
        .axis_soft_max(2)
        .axis_soft_min(-1)
    )
    arrivals = (
        p.graph(
            "Arrivals of each model",
            "λ, summed over its engines. Where prefill and decode are apart, a request arrives at both pools.",
            height=7,
            unit=RATE,
        )
        .with_target(p.over_time("A", FLEET.by_model("sum", FLEET.arrivals), NAME))
        .color_scheme(p.shades(DEMAND))
    )
    waiting = (
        p.graph(
            "Requests that wait",
            "Summed over the engines of each model. It stays near 0 until a model is over its limit.",
            height=7,
            unit=COUNT,
        )
        .axis_soft_max(5)
        .with_target(p.over_time("A", FLEET.by_model("sum", FLEET.metric("kvwatch_queue_length")), NAME))
        .color_scheme(p.shades(WAITING))
    )
    return [used, missing, arrivals, waiting]
