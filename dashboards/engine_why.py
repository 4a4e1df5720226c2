"""The lower part of the Engine dashboard: what μ is made of, evictions, and who asks for all that memory."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, stat, timeseries
from grafana_foundation_sdk.models import common

from dashboards import panels as p
from dashboards.engine_rows import ENGINE
from dashboards.style import (
    COUNT,
    DANGER,
    DEMAND,
    LIMIT,
    LIMIT_COLORS,
    LIMIT_WORDS,
    PLAIN,
    RATE,
    RATIO,
    SECONDS,
)


def parts() -> list[bargauge.Panel | timeseries.Panel]:
    """What the service rate is made of."""
    m = ENGINE.metric
    limits = p.bars(
        "Sustainable rate under each limit",
        "What arrives, and what could be sustained if only this limit applied. The shortest limit binds: raise that "
        "one, and the next shortest becomes the limit.",
        width=8,
        height=8,
        unit=RATE,
    ).with_target(p.at_end("A", ENGINE.arrivals, "arrives"))
    for ref, (key, fixed) in zip("BCD", LIMIT_COLORS.items(), strict=True):
        limits = limits.with_target(
            p.at_end(ref, m("kvwatch_service_rate_limit", f'limit="{key}"'), LIMIT_WORDS[key])
        ).override_by_query(ref, [p.color(fixed)])
    limits = limits.override_by_query("A", [p.color(DEMAND)])
    step = (
        p.graph(
            "Time of one step: now and when full",
            "Steps get slower as the batch fills. μ is computed with the step of a full engine, not with today's.",
            width=8,
            height=8,
            unit=SECONDS,
        )
        .with_target(p.over_time("A", m("kvwatch_step_seconds", 'stat="trimmed_mean"'), "now, mean"))
        .with_target(p.over_time("B", m("kvwatch_step_seconds", 'stat="median"'), "now, median"))
        .with_target(p.over_time("C", m("kvwatch_step_seconds", 'stat="saturated"'), "when full"))
        .override_by_query("A", [p.color(DEMAND)])
        .override_by_query("B", [p.color(DEMAND), p.prop("custom.lineWidth", 1)])
        .override_by_query("C", [p.color(LIMIT), *p.dashed()])
    )
    demand = (
        p.graph(
            "Memory-work of a request, E[g]",
            "KV tokens that a mean request holds, summed over the steps it lives (token·steps), by each way to "
            "estimate it. The bold one feeds μ. Ways that stay far apart mean shared prefixes, or a model that does "
            "not fit.",
            width=8,
            height=8,
            unit=COUNT,
        )
        .with_target(
            p.over_time(
                "A",
                f"{m('kvwatch_request_demand_token_steps')} unless {m('kvwatch_demand_selected')}",
                "{{method}}",
            )
        )
        .with_target(
            p.over_time(
                "B",
                f"{m('kvwatch_request_demand_token_steps')} and {m('kvwatch_demand_selected')}",
                "{{method}} (feeds μ)",
            )
        )
        .override_by_query("A", [p.color(DEMAND), p.prop("custom.lineWidth", 1)])
        .override_by_query("B", [p.color(PLAIN), p.prop("custom.lineWidth", 3)])
    )
    return [limits, step, demand]


def evictions() -> list[timeseries.Panel | stat.Panel]:
    """Work that is lost to eviction, and the setting that avoids it."""
    m = ENGINE.metric
    lost = (
        p.graph(
            "Throughput lost to evictions",
            "Share of the throughput that evicted requests cost now, for they are computed again; and how many "
            "evictions there are for each request that finishes.",
            width=10,
            height=8,
            unit=RATIO,
        )
        .axis_soft_max(0.2)
        .with_target(p.over_time("A", m("kvwatch_congestion_loss_ratio"), "throughput lost"))
        .with_target(p.over_time("B", m("kvwatch_preemptions_per_request"), "evictions per request"))
        .override_by_query("A", [p.color(DANGER), p.prop("custom.fillOpacity", 20)])
        .override_by_query("B", [p.color(PLAIN), p.prop("custom.lineWidth", 1), *p.right_axis(COUNT)])
    )
    waves = (
        p.value(
            "Waves in a full engine",
            "Growth: by what a small wave of admissions is multiplied over a mean lifetime if the engine is full; "
            "below 0.8 waves die out, above 1.25 they can last. In step: how much of the batch's swing is not "
            "chance, while the KV cache is full; 85% and more in a wave. Steps apart: between the crests of a wave, "
            "if there is one.",
            width=7,
            height=8,
        )
        .with_target(p.at_end("A", m("kvwatch_congestion_growth_ratio"), "growth"))
        .with_target(p.at_end("B", m("kvwatch_congestion_synchronisation_ratio"), "in step"))
        .with_target(p.at_end("C", m("kvwatch_congestion_period_steps"), "steps apart"))
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.HORIZONTAL)
        .decimals(2)
        .text(p.text_size(36))
        .override_by_query("B", [p.prop("unit", RATIO), p.prop("decimals", 0)])
        .override_by_query("C", [p.prop("decimals", 0)])
    )
    sure = m("kvwatch_estimate_valid", 'estimate="recommendation"')
    cap = (
        p.value(
            "A max_num_seqs that helps",
            "The cap on running requests with the best throughput for this traffic at full load, and what it is "
            "predicted to gain. None where no cap surely helps.",
            width=7,
            height=8,
        )
        .with_target(p.at_end("A", m("kvwatch_recommended_max_num_seqs"), "max_num_seqs"))
        .with_target(p.at_end("B", m("kvwatch_recommended_gain_ratio"), "more throughput"))
        .with_target(
            p.at_end(
                "C",
                f"{sure} == 1 unless ignoring (estimate, reason) {m('kvwatch_recommended_max_num_seqs')}",
                "max_num_seqs",
            )
        )
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .orientation(common.VizOrientation.HORIZONTAL)
        .text(p.text_size(36))
        .override_by_query("B", [p.prop("unit", RATIO), p.prop("decimals", 0)])
        .override_by_query("C", [p.prop("mappings", [p.words({1: ("none", None)})])])
    )
    return [lost, waves, cap]


def tenants() -> list[timeseries.Panel]:
    """Who uses the memory."""
    m = ENGINE.metric
    share = (
        p.graph(
            "Memory-work by tenant",
            "Share of KV memory × time that each tenant's requests take. Known only with a request log or traces.",
            unit=RATIO,
        )
        .max(1)
        .stacking(p.stacked())
        .fill_opacity(40)
        .line_width(1)
        .with_target(p.over_time("A", m("kvwatch_demand_share"), "{{tenant}}"))
    )
    arrive = p.graph(
        "Arrivals by tenant",
        "Requests per second of each tenant. Known only with a request log or traces.",
        unit=RATE,
    ).with_target(p.over_time("A", m("kvwatch_tenant_arrival_rate"), "{{tenant}}"))
    return [share, arrive]
