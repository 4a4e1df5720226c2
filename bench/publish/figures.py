"""All figures by the names that texts call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.publish import recorded, simulated

FIGURES: Mapping[str, Callable[[], str]] = {
    "recordings.table": recorded.table,
    "recordings.plain_times_too_high": recorded.plain_times_too_high,
    "recordings.slower_second_time": recorded.slower_second_time,
    "recordings.truth_half_width": recorded.truth_half_width,
    "recordings.nearly_idle_step": recorded.nearly_idle_step,
    "recordings.full_step": recorded.full_step,
    "sweep.engines": simulated.sweep_engines,
    "sweep.loads": simulated.sweep_loads,
    "sweep.median": simulated.sweep_median,
    "sweep.p95": simulated.sweep_p95,
    "sweep.coverage": simulated.sweep_coverage,
    "sweep.limit_right": simulated.sweep_limit_right,
    "lead_time.long_ramps_in_time": simulated.long_ramps_in_time,
    "lead_time.short_ramps_too_late": simulated.short_ramps_too_late,
    "lead_time.false_pages": simulated.false_pages_in_hours,
    "lead_time.bursts": simulated.bursts_paged,
    "autoscaling.policies": simulated.policies,
    "autoscaling.rivals_late_times": simulated.rivals_late_times,
    "autoscaling.rivals_late_times_5m": simulated.rivals_late_times_5m,
    "autoscaling.slow_down_ratio": simulated.slow_down_ratio,
    "autoscaling.quick_down_ratio": simulated.quick_down_ratio,
    "autoscaling.slow_down_hours": simulated.slow_down_hours,
    "autoscaling.step_utilization": simulated.late_in("step", "utilization", 0.8),
    "autoscaling.step_required": simulated.late_in("step", "required", 0.8),
    "autoscaling.step_required_07": simulated.late_in("step", "required", 0.7),
    "autoscaling.bursts_required_07": simulated.late_in("bursts", "required", 0.7),
    "autoscaling.ramp_utilization": simulated.late_in("ramp", "utilization", 0.8),
    "autoscaling.ramp_required": simulated.late_in("ramp", "required", 0.8),
    "autoscaling.beaten_memory": simulated.beaten_where("memory binds"),
    "autoscaling.beaten_seats": simulated.beaten_where("seats bind"),
    "congestion.mixes_right": simulated.mixes_right,
    "congestion.class_mixes_right": simulated.class_mixes_right,
    "congestion.stable_with_waves": simulated.class_mixes_stable_with_waves,
    "congestion.unstable_without_wave": simulated.class_mixes_unstable_without_wave,
    "congestion.gain_alike": simulated.real_gain("fixed"),
    "congestion.gain_mixed": simulated.real_gain("mixed"),
    "congestion.gain_alike_predicted": simulated.real_gain_predicted("fixed"),
    "congestion.gain_mixed_predicted": simulated.real_gain_predicted("mixed"),
    "congestion.spared_alike": simulated.real_evictions_spared("fixed"),
    "congestion.spared_mixed": simulated.real_evictions_spared("mixed"),
    "congestion.pairs": simulated.real_pairs,
}
