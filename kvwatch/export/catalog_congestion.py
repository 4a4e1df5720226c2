"""Metrics of one engine on evictions: waves, what they cost, and the seats that would end them."""

from __future__ import annotations

from kvwatch.export.metric import Interval, Metric, Part, Scope, with_bounds

_E = Scope.ENGINE

CONGESTION_METRICS: tuple[Metric, ...] = with_bounds(
    Metric(
        "kvwatch_congestion_spectral_radius",
        _E,
        "ratio",
        "Factor by which a small wave of admissions, of at least half a mean lifetime, grows in one engine step at "
        "full KV memory. Above 1 requests that start together can stay together.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_congestion_growth_ratio",
        _E,
        "ratio",
        "The same over a mean lifetime. Below 0.8 waves die out; above 1.25 small ones grow, and one length makes "
        "waves, but of mixes of several lengths a part does not. Between, chance decides.",
        estimate="congestion",
        interval=Interval("the growth"),
    ),
    Metric(
        "kvwatch_congestion_loss_ratio",
        _E,
        "ratio",
        "Share of the throughput that evictions cost now, against the same engine without evictions; 0 while "
        "nothing is "
        "evicted.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_congestion_period_steps",
        _E,
        "steps",
        "Engine steps from crest to crest of the wave in the running batch; absent where there is no wave.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_congestion_synchronisation_ratio",
        _E,
        "ratio",
        "Share of the running batch's variance that requests independent of each other would not make; "
        "absent while the "
        "KV cache is not full.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_preemptions_per_request",
        _E,
        "ratio",
        "Evictions for each finished request over the last minute.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_recomputed_tokens_per_request",
        _E,
        "tokens/request",
        "Tokens computed again after evictions for each finished request: the evictions seen times what one "
        "costs in the "
        "embedded engine, since no metric of vLLM shows them.",
        estimate="congestion",
    ),
    Metric(
        "kvwatch_recommended_max_num_seqs",
        _E,
        "requests",
        "The max_num_seqs with the highest throughput for the traffic now, where it surely gains 3% or more; "
        "absent where "
        "nothing is gained.",
        estimate="recommendation",
    ),
    Metric(
        "kvwatch_recommended_gain_ratio",
        _E,
        "ratio",
        "Throughput at full load that the recommended max_num_seqs is predicted to gain: 0.14 is +14%.",
        estimate="recommendation",
        interval=Interval("the predicted gain", ends=(Part.LOWER,)),
    ),
)
