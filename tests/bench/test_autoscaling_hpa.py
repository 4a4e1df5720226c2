"""The models of the two autoscalers do what Kubernetes and KEDA document."""

from __future__ import annotations

import pytest

from bench.autoscaling.hpa import Behavior, Hpa, PodStatus, RatePolicy, Rules, external_average, external_value
from bench.autoscaling.hpa import pods_metric as wanted
from bench.autoscaling.keda import Fallback, Keda


def _pods(count: int, **more: PodStatus) -> list[PodStatus]:
    return [*(PodStatus(f"p{i}") for i in range(count)), *more.values()]


def _values(*values: float) -> dict[str, float]:
    return {f"p{i}": v for i, v in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "target", "replicas"),
    [
        ((200.0,), 100.0, 2),  # the documentation's examples: 200m against 100m doubles, 50m halves
        ((50.0, 50.0), 100.0, 1),
        ((90.0,) * 50, 75.0, 60),
        ((0.0, 0.0, 0.0), 10.0, 0),
    ],
)
def test_replicas_are_current_times_metric_over_target_rounded_up(
    values: tuple[float, ...], target: float, replicas: int
) -> None:
    """⌈current · metric/target⌉."""
    assert wanted(_pods(len(values)), _values(*values), target, len(values)) == replicas


@pytest.mark.parametrize(("mean", "replicas"), [(0.91, 10), (1.09, 10), (1.11, 12), (0.89, 9)])
def test_a_ratio_within_a_tenth_of_one_changes_nothing(mean: float, replicas: int) -> None:
    """The tolerance is 0.1 both ways."""
    assert wanted(_pods(10), _values(*[mean] * 10), 1.0, 10) == replicas


def test_a_pending_pod_counts_as_zero_upwards_and_not_at_all_downwards() -> None:
    """A replica that starts is not asked for twice, and keeps no other from going."""
    starting = PodStatus("new", pending=True, ready=False)
    assert wanted(_pods(2, new=starting), _values(1.8, 1.8), 1.0, 3) == 4
    assert wanted(_pods(2, new=starting), _values(1.4, 1.4), 1.0, 3) == 3  # 2.8/3 is within the tolerance
    assert wanted(_pods(4, new=starting), _values(0.4, 0.4, 0.4, 0.4), 1.0, 5) == 2


def test_a_pod_without_a_value_counts_as_zero_upwards_and_at_its_target_downwards() -> None:
    """Missing values make a change smaller, whichever way it goes."""
    missing = PodStatus("dumb")
    assert wanted(_pods(3, dumb=missing), _values(2.0, 2.0, 2.0), 1.0, 4) == 6
    assert wanted(_pods(3, dumb=missing), _values(0.1, 0.1, 0.1), 1.0, 4) == 2
    assert wanted(_pods(3, dumb=missing), {}, 1.0, 4) is None


def test_missing_values_never_turn_the_direction_round() -> None:
    """Two pods at 1.2 of the target and two that say nothing: the mean is 0.6, and nothing is removed."""
    pods = _pods(2, a=PodStatus("a"), b=PodStatus("b"))
    assert wanted(pods, _values(1.2, 1.2), 1.0, 4) == 4


def test_pods_being_deleted_do_not_count() -> None:
    """Neither their values nor themselves."""
    leaving = PodStatus("p2", deleting=True)
    assert wanted([PodStatus("p0"), PodStatus("p1"), leaving], _values(2.0, 2.0, 0.0), 1.0, 2) == 4


def test_a_pod_that_is_not_ready_counts_if_it_has_a_value() -> None:
    """Readiness is a matter of CPU metrics only."""
    assert wanted([PodStatus("p0"), PodStatus("p1", ready=False)], _values(2.0, 0.0), 1.0, 2) == 2


def test_an_external_average_value_is_divided_by_all_replicas_and_a_value_multiplies_the_ready_ones() -> None:
    """AverageValue of 1 makes the metric the number of replicas; Value multiplies, so it needs another metric."""
    assert external_average(5.0, 1.0, 3) == 5
    assert external_average(21.0, 1.0, 20) == 20  # within the tolerance
    assert external_average(0.0, 1.0, 3) == 0
    assert external_average(None, 1.0, 3) is None
    assert external_value(5.0, 1.0, 3, 2) == 10
    assert external_value(1.05, 1.0, 3, 2) == 3
    assert external_value(2.0, 1.0, 0, 0) == 2


def test_it_goes_up_at_once_by_four_pods_or_double_in_fifteen_seconds() -> None:
    """The default policies; the laxer counts."""
    hpa = Hpa(1, 100)
    assert hpa.sync(0.0, 1, [50]) == 5
    assert hpa.sync(10.0, 5, [50]) == 5  # the four of the last 15 s are used up
    assert hpa.sync(15.0, 5, [50]) == 10
    assert hpa.sync(30.0, 10, [50]) == 20


def test_it_goes_down_only_as_far_as_every_wish_of_five_minutes_agrees() -> None:
    """The highest wish of the window counts, and what a controller finds when it starts is one."""
    hpa = Hpa(1, 10)
    for at in range(0, 300, 15):
        assert hpa.sync(float(at), 6, [1]) == 6
    assert hpa.sync(300.0, 6, [1]) == 1
    assert hpa.sync(315.0, 1, [3]) == 3
    for at in range(330, 615, 15):
        assert hpa.sync(float(at), 3, [1 if at != 330 else 2]) == 3
    assert hpa.sync(615.0, 3, [1]) == 2
    assert hpa.sync(630.0, 2, [1]) == 1


def test_rate_limits_of_a_behavior_count_what_changed_in_their_period() -> None:
    """Down by half a minute at most, up by one pod a minute."""
    behavior = Behavior(
        Rules(0.0, (RatePolicy("pods", 1, 60.0),)),
        Rules(0.0, (RatePolicy("percent", 50, 60.0),)),
    )
    hpa = Hpa(1, 20, behavior)
    assert hpa.sync(0.0, 8, [1]) == 4
    assert hpa.sync(15.0, 4, [1]) == 4
    assert hpa.sync(60.0, 4, [1]) == 2
    assert hpa.sync(120.0, 2, [9]) == 3
    assert hpa.sync(135.0, 3, [9]) == 3


def test_a_stabilisation_window_for_going_up_takes_the_lowest_wish() -> None:
    """A burst shorter than the window starts nothing."""
    hpa = Hpa(1, 20, Behavior(up=Rules(60.0, Behavior().up.policies)))
    assert hpa.sync(0.0, 2, [2]) == 2
    assert hpa.sync(30.0, 2, [4]) == 2
    assert hpa.sync(75.0, 2, [4]) == 4


def test_without_any_metric_nothing_changes_and_with_some_nothing_shrinks() -> None:
    """A metric that fails leaves the replicas alone, however long; limits still hold."""
    hpa = Hpa(2, 10)
    for at in range(0, 3600, 15):
        assert hpa.sync(float(at), 5, [None]) == 5
        assert hpa.sync(float(at), 5, [1, None]) == 5
    assert hpa.sync(3600.0, 5, [8, None]) == 8
    assert hpa.sync(3615.0, 1, [None]) == 2
    assert hpa.sync(3630.0, 12, [None]) == 10
    assert hpa.sync(3645.0, 0, [5]) == 0


def _keda(value: float | None, keda: Keda, current: int, seconds: int, start: int = 0) -> int:
    for at in range(start, start + seconds, 15):
        current = keda.sync(float(at), current, value)
    return current


def test_keda_goes_to_zero_after_the_cooldown_and_comes_back_when_active() -> None:
    """From one to none is KEDA's operator's, at its polling interval; the rest is the HPA's."""
    keda = Keda(1.0, minimum=0, maximum=8)
    assert _keda(3.0, keda, 3, 60) == 3
    assert _keda(0.0, keda, 3, 270, start=60) == 3
    assert _keda(0.0, keda, 3, 330, start=60) == 0
    assert _keda(0.0, keda, 0, 60, start=600) == 0
    assert _keda(2.0, keda, 0, 60, start=660) == 2


def test_keda_with_a_minimum_never_goes_below_it() -> None:
    """Idle for an hour, one replica stays."""
    assert _keda(0.0, Keda(1.0, minimum=1, maximum=8), 4, 3600) == 1


def test_keda_takes_no_data_for_zero_by_default() -> None:
    """The Prometheus scaler's ignoreNullValues is on by default, so a metric that vanishes scales down."""
    assert _keda(None, Keda(5.0, minimum=1, maximum=8), 4, 900) == 1


def test_keda_with_null_values_as_errors_and_the_higher_fallback_keeps_what_there_is() -> None:
    """As kvwatch's chart configures it, although 0 is allowed; what is at 0 stays there."""
    held = Fallback(1, behavior="currentReplicasIfHigher")
    keda = Keda(1.0, minimum=0, maximum=8, null_is_zero=False, fallback=held)
    assert _keda(4.0, keda, 4, 300) == 4
    assert _keda(None, keda, 4, 7200, start=300) == 4
    assert _keda(None, keda, 0, 3600, start=7500) == 0


def test_keda_without_a_fallback_takes_a_failing_trigger_to_zero_if_it_may() -> None:
    """With a minimum of 1 the replicas stay; with 0 its operator sees a trigger that is not active."""
    assert _keda(None, Keda(1.0, minimum=1, maximum=8, null_is_zero=False), 4, 3600) == 4
    assert _keda(None, Keda(1.0, minimum=0, maximum=8, null_is_zero=False), 4, 3600) == 0


def test_a_fallback_that_wakes_starts_a_replica_for_nothing() -> None:
    """At 0 no engine has metrics, so the trigger fails because it is at 0."""
    keda = Keda(1.0, minimum=0, maximum=8, null_is_zero=False, fallback=Fallback(1, wakes=True))
    assert _keda(None, keda, 0, 60) == 1


def test_a_static_fallback_of_keda_sets_that_number() -> None:
    """However many there are."""
    keda = Keda(1.0, minimum=1, maximum=8, null_is_zero=False, fallback=Fallback(6))
    assert _keda(None, keda, 4, 120) == 6
