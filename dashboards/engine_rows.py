"""The upper part of the Engine dashboard: what is to be seen in five seconds, then load and pressure over time."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableSort

from alerts.numbers import SHORT_WINDOW
from dashboards import panels as p
from dashboards.frame import choice
from dashboards.queries import NOT_IN_SIGHT, SOON, Engines
from dashboards.states import STATES
from dashboards.style import (
    COUNT,
    DEMAND,
    LIMIT,
    LIMIT_COLORS,
    LIMIT_WORDS,
    MUTED,
    PLAIN,
    RATE,
    RATIO,
    SECONDS,
    WAITING,
    WORRY,
)

ENGINE = Engines('model_name="$model_name",target="$target",engine="$engine",instance="$instance"')
MODEL = Engines('model_name="$model_name"')
WINDOW, OTHER_WINDOWS = 'window="$window"', 'window!="$window"'
WHEN = {0: ("now", PLAIN), SOON: ("soon", PLAIN), NOT_IN_SIGHT: ("not in sight", PLAIN)}
"""Words for times to saturation that stand for something. Only a state has a colour: no number is red beside green."""


def window_variable() -> builders.QueryVariable:
    """The window of λ that graphs show in bold, the shortest first: what verdict and load are judged by."""
    return (
        choice("window", "Window of λ", "kvwatch_utilization", "window")
        .sort(VariableSort.NUMERICAL_ASC)
        .current(VariableOption(text=SHORT_WINDOW, value=SHORT_WINDOW, selected=True))
    )


def verdict() -> list[stat.Panel]:
    """What is to be known in five seconds."""
    m = ENGINE.metric
    state = (
        p.value(
            "Verdict",
            "The state of this engine in one line: green needs nothing, orange needs capacity soon, red hurts users "
            "now. Grey means that kvwatch does not know yet; the table of estimates says why.",
            width=6,
        )
        .with_target(p.at_end("A", ENGINE.state))
        .mappings([p.words({state.code: (state.sentence, state.color) for state in STATES})])
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .thresholds(p.steps(MUTED))
    )
    load = (
        p.value(
            "Load",
            "Share of its limit: ρ over 1 − δ. At 100% the queue begins to grow without end.",
            width=3,
            unit=RATIO,
        )
        .with_target(p.at_end("A", ENGINE.load_of_limit))
        .decimals(0)
        .thresholds(p.steps(MUTED, (0.0, PLAIN)))
    )
    when = (
        p.value(
            "Full in",
            "When ρ reaches its limit on the present trend of arrivals; of an engine whose queue empties, when it is "
            "empty. A new replica usually serves in ten minutes. Soon: already past what is surely stable, though not "
            "at the limit.",
            width=4,
            unit=SECONDS,
        )
        .with_target(p.at_end("A", f"{ENGINE.saturation} unless {ENGINE.drain}", "full"))
        .with_target(p.at_end("B", ENGINE.drain, "queue empty"))
        .decimals(0)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.VERTICAL)
        .mappings([p.words(WHEN)])
        .thresholds(p.steps(MUTED, (0.0, PLAIN)))
    )
    required, pool = MODEL.replicas_required, f"and on (model_name, role) {ENGINE.known}"
    replicas = (
        p.value(
            "Replicas",
            "Servers that this model has now, and how many keep it at the utilization to size for "
            "(estimates.target_utilization); of this pool where prefill and decode are apart. Orange: more are "
            "needed than there are.",
            width=4,
        )
        .with_target(p.at_end("A", f"{MODEL.replicas} {pool}", "now"))
        .with_target(p.at_end("B", f"{required} <= {MODEL.replicas} {pool}", "needed"))
        .with_target(p.at_end("C", f"{required} > {MODEL.replicas} {pool}", "needed"))
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.VERTICAL)
        .override_by_query("C", [p.color(WORRY)])
    )
    limit = (
        p.value(
            "Limited by",
            "The resource that runs out first: KV memory, seats (max_num_seqs) or the token budget of a step "
            "(max_num_batched_tokens).",
            width=3,
        )
        .with_target(p.at_end("A", ENGINE.binding))
        .mappings([p.words({code: (text, None) for code, text in enumerate(LIMIT_WORDS.values(), 1)})])
    )
    room = (
        p.value(
            "Room",
            "What may arrive beyond what does until the limit is reached. Below 0: how much arrives too much.",
            width=4,
            unit=RATE,
        )
        .with_target(p.at_end("A", f"{ENGINE.limit} * {m('kvwatch_service_rate')} - {ENGINE.arrivals}"))
        .decimals(1)
        .thresholds(p.steps(MUTED, (-1e9, PLAIN)))
    )
    return [state, load, room, when, replicas, limit]


def load() -> list[timeseries.Panel]:
    """ρ against its limit, and the rates it is made of."""
    m = ENGINE.metric
    sure = m("kvwatch_estimate_valid", 'estimate="stable_limit"')
    thin = [p.color(DEMAND), p.prop("custom.lineWidth", 1), p.hidden_in(legend=True)]
    rho = (
        p.graph(
            "ρ against its limit",
            "Arrivals over what the engine can sustain, with its 90% band, against the limit 1 − δ, beyond which the "
            "queue may grow without end. The thin line is ρ over the other windows of λ: it moves first. While the "
            "largest request is known only as a bound, the limit is drawn at 1, and what is surely stable below it.",
            unit="none",
        )
        .decimals(2)
        .axis_soft_max(1.1)
        .with_target(p.over_time("A", m("kvwatch_utilization", WINDOW), "ρ over {{window}}"))
        .with_target(p.over_time("B", m("kvwatch_utilization", OTHER_WINDOWS), "ρ over {{window}}"))
        .with_target(p.over_time("C", ENGINE.limit, "limit"))
        .with_target(
            p.over_time(
                "D",
                f"{m('kvwatch_stable_limit')} unless ignoring (estimate, reason) {sure} == 1",
                "surely stable below",
            )
        )
        .with_target(p.over_time("E", m("kvwatch_utilization_lower", WINDOW), "lower end"))
        .with_target(p.over_time("F", m("kvwatch_utilization_upper", WINDOW), "upper end"))
        .override_by_query("A", [p.color(DEMAND), p.prop("custom.lineWidth", 3)])
        .override_by_query("B", thin)
        .override_by_query("C", [p.color(LIMIT), *p.dashed()])
        .override_by_query("D", [p.color(MUTED), *p.dashed(1)])
    )
    rates = (
        p.graph(
            "λ against μ under each limit",
            "Requests that arrive per second, and how many could be sustained if only this limit applied: the lowest "
            "binds, and is dashed. Limits above three times the lowest are left out. Served is what is finished while "
            "requests wait: the truth that μ predicts.",
            unit=RATE,
        )
        .axis_soft_max(1)
        .with_target(p.over_time("A", m("kvwatch_arrival_rate", WINDOW), "λ over {{window}}"))
        .with_target(
            p.over_time(
                "B",
                f"{m('kvwatch_binding_limit')} * ignoring (limit) group_left () {m('kvwatch_service_rate')}",
                "{{limit}} binds",
            )
        )
        .with_target(
            p.over_time(
                "C",
                f"{m('kvwatch_service_rate_limit')} <= ignoring (limit) group_left () "
                f"(3 * {m('kvwatch_service_rate')}) unless {m('kvwatch_binding_limit')}",
                "{{limit}}",
            )
        )
        .with_target(p.over_time("D", m("kvwatch_arrival_rate", OTHER_WINDOWS), "λ over {{window}}"))
        .with_target(p.over_time("E", m("kvwatch_observed_service_rate"), "served"))
        .override_by_query("A", [p.color(DEMAND), p.prop("custom.lineWidth", 3)])
        .override_by_query("B", [p.color(LIMIT), *p.dashed(3)])
        .override_by_query("D", thin)
        .override_by_query("E", [p.color(PLAIN), p.prop("custom.lineWidth", 1)])
    )
    for key, text in LIMIT_WORDS.items():
        rates = rates.override_by_name(key, [p.color(LIMIT_COLORS[key]), p.prop("displayName", f"μ by {text}")])
        rates = rates.override_by_name(f"{key} binds", [p.prop("displayName", f"μ by {text} (binds)")])
    return [p.band(rho, "lower end", "upper end", DEMAND), rates]


def pressure() -> list[timeseries.Panel]:
    """What users feel: the queue and its trend, and memory and batch of the engine."""
    m = ENGINE.metric
    queue = (
        p.graph("Queue", "Requests that wait. Near 0 until the engine is at its limit.", width=8, height=8, unit=COUNT)
        .axis_soft_max(5)
        .decimals(0)
        .with_target(p.over_time("A", m("kvwatch_queue_length"), "waiting"))
        .override_by_query("A", [p.color(WAITING), p.prop("custom.fillOpacity", 25)])
    )
    trend = (
        p.graph(
            "Trend of the queue",
            "By how many requests a second the queue changes, with its 90% band, and λ − μ: what theory says it does "
            "in overload. A band above zero means that the queue surely grows.",
            width=8,
            height=8,
            unit=RATE,
            from_zero=False,
        )
        .axis_soft_max(1)
        .axis_soft_min(-1)
        .with_target(p.over_time("A", m("kvwatch_queue_slope"), "trend"))
        .with_target(p.over_time("B", m("kvwatch_queue_slope_lower"), "lower end"))
        .with_target(p.over_time("C", m("kvwatch_queue_slope_upper"), "upper end"))
        .with_target(p.over_time("D", f"clamp_min({ENGINE.arrivals} - {m('kvwatch_service_rate')}, 0)", "λ − μ"))
        .override_by_query("A", [p.color(WAITING)])
        .override_by_query("D", [p.color(DEMAND), *p.dashed(1)])
    )
    own_scale = [p.prop("max", None), p.prop("custom.axisSoftMax", 10)]
    memory = (
        p.graph(
            "KV cache and batch",
            "Share of the KV cache in use, and requests in the running batch. Saw teeth at the top are waves of "
            "eviction. A KV cache far from full says nothing about the distance to the limit.",
            width=8,
            height=8,
            unit=RATIO,
        )
        .max(1)
        .with_target(p.over_time("A", m("kvwatch_kv_usage_ratio"), "KV cache in use"))
        .with_target(p.over_time("B", m("kvwatch_running_requests"), "running"))
        .override_by_query("A", [p.color(LIMIT_COLORS["kv"]), p.prop("custom.fillOpacity", 15)])
        .override_by_query(
            "B",
            [p.color(PLAIN), p.prop("custom.lineWidth", 1), *p.right_axis(COUNT), *own_scale],
        )
    )
    return [queue, p.band(trend, "lower end", "upper end", WAITING), memory]


def latency() -> list[timeseries.Panel]:
    """What users feel, beside the load: from vLLM's histograms, where Prometheus scrapes vLLM as well."""
    names = ("time_to_first_token_seconds", "inter_token_latency_seconds")
    titles, kinds = ("Time to the first token", "Time between tokens"), ("ttft", "itl")
    words = "Half of the requests and nineteen of twenty wait no longer, by vLLM's own histogram"
    panels = []
    m = ENGINE.metric
    for title, name, kind in zip(titles, names, kinds, strict=True):
        panel = p.graph(
            title,
            f"{words} ({name}), over the engines of this model and number. Empty where vLLM is not scraped. "
            "Dashed is what the load leads to, where that is predicted (estimates.latency or slo).",
            height=7,
            unit=SECONDS,
        ).no_value("not scraped from vLLM")
        for ref, quantile, label in (("A", 0.95, "95%"), ("B", 0.5, "50%")):
            panel = panel.with_target(p.over_time(ref, ENGINE.latency(name, quantile), label))
        panel = panel.with_target(
            p.over_time("C", m("kvwatch_latency_seconds", f'kind="{kind}",quantile="0.95"'), "95% predicted")
        )
        panel = panel.override_by_query("A", [p.color(WAITING)])
        panel = panel.override_by_query("C", [p.color(DEMAND), *p.dashed(1)])
        panels.append(panel.override_by_query("B", [p.color(PLAIN), p.prop("custom.lineWidth", 1)]))
    share = (
        p.graph(
            "Load of the latency target",
            "Arrivals over the rate up to which 95% of the requests keep to the target (slo), by what it is about. "
            "Above 1 it is missed. Empty where no target is configured.",
            height=6,
            unit=RATIO,
        )
        .axis_soft_max(1.1)
        .no_value("no latency target")
        .with_target(p.over_time("A", m("kvwatch_slo_utilization"), "{{slo}}"))
    )
    tokens = (
        p.graph(
            "Tokens per second",
            "Tokens of prompts taken in, those found in the prefix cache included, and tokens made, over the last "
            "minute.",
            height=6,
            unit=COUNT,
        )
        .decimals(0)
        .with_target(p.over_time("A", m("kvwatch_token_rate", 'kind="output"'), "made"))
        .with_target(p.over_time("B", m("kvwatch_token_rate", 'kind="prompt"'), "taken in"))
        .override_by_query("A", [p.color(DEMAND)])
        .override_by_query("B", [p.color(PLAIN), p.prop("custom.lineWidth", 1)])
    )
    return [*panels, share, tokens]
