"""The story in words: each sentence when it is sure, once, and in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from kvwatch.estimate import UNKNOWN, UNKNOWN_BY_KEY, Estimate, KeyedEstimate, Reason
from kvwatch.export.narration import Line, Narrator, Pace
from kvwatch.export.thresholds import Alert, AlertRule, Latch, usual_alerts
from kvwatch.export.words import clock, rate, spell
from kvwatch.views import EngineView

MU = 10.0
UNSURE = 0.1
"""Half-width of ρ's interval in these views."""


def view(rho: float | None = 0.3, queue: float = 0.0, *, mu: float | None = MU, **more: object) -> EngineView:
    """An engine at load ρ, known to ±0.1, with μ = 10 known to ±10%."""
    known = mu is not None and rho is not None
    values: dict[str, object] = {
        "arrival_rate": KeyedEstimate({"30s": rho * (mu or MU)} if rho is not None else {}),
        "service_rate": Estimate(mu, 0.9 * mu, 1.1 * mu, Reason.OK) if mu is not None else UNKNOWN,
        "service_rate_plain": 28.0,
        "binding_limit": {"kv": 1.0},
        "utilization": KeyedEstimate({"30s": rho}, {"30s": max(rho - UNSURE, 0.0)}, {"30s": rho + UNSURE})
        if known and rho is not None
        else UNKNOWN_BY_KEY,
        "stable_limit": Estimate(0.95),
        "kv_usage_ratio": min(rho or 0.0, 1.0),
        "queue_length": queue,
    }
    return EngineView("127.0.0.1:8000", "ramp", "0", **{**values, **more})  # type: ignore[arg-type]


def tell(narrator: Narrator, views: Iterable[EngineView], start: float = 0.0) -> list[Line]:
    """What is said about views that are a second apart."""
    return [line for second, one in enumerate(views) for line in narrator.observe(start + second, one)]


def kinds(lines: Iterable[Line]) -> list[str]:
    """What lines are about."""
    return [line.kind for line in lines]


def test_a_ramp_into_overload_and_back_is_told_in_order() -> None:
    """Every sentence comes once, when its condition has held, from the first estimate to the recovery."""
    overloaded = view(1.3, 60, queue_slope=Estimate(2.0, 1.0, 4.0), observed_service_rate=9.5)
    story = [
        *[view(None, mu=None)] * 10,
        *[view(0.3)] * 10,
        *[view(0.65)] * 10,
        *[view(0.7, time_to_saturation_seconds=40.0)] * 10,
        *[view(0.93, time_to_saturation_seconds=5.0)] * 10,
        *[view(1.06, 3, time_to_saturation_seconds=0.0)] * 10,
        *[view(1.2, 20)] * 10,
        *[overloaded] * 70,
        *[replace(view(0.4, 60), observed_service_rate=9.7)] * 10,
        *[view(0.3)] * 10,
    ]
    lines = tell(Narrator("ramp"), story)
    assert kinds(lines) == [
        "estimate",
        "plain",
        "level",
        "approaching",
        "level",
        "waiting",
        "saturated",
        "overloaded",
        "growing",
        "observed",
        "alert",
        "draining",
        "recovered",
    ]
    said = {line.kind: str(line) for line in lines}
    assert said["estimate"] == (
        " 0:10  ramp: sustains 10.0 requests/s (9.0–11.0) for this traffic, limited by KV memory; now 3.0/s, 30%"
    )
    assert said["plain"].endswith("M/(b·E[g]) with today's step time b would say 28.0/s")
    assert "saturation in about 40 s at this trend; 7.0/s and rising, stable up to 9.5/s" in said["approaching"]
    assert "1.06 (0.96–1.16) is past the stable limit 1−δ = 0.95" in said["saturated"]
    assert "12.0/s arrive, 10.0/s can be served; the queue will grow at about λ−μ = 2.0/s" in said["overloaded"]
    assert "by 1.0–4.0 requests/s; 60 wait" in said["growing"]
    assert "9.5/s; predicted before the queue: 10.0/s (9.0–11.0), 5% off" in said["observed"]
    assert "60 that wait are served at about μ−λ = 6.0/s" in said["draining"]


@pytest.mark.parametrize("rho", [0.45, 0.55, 0.59])
def test_nothing_is_claimed_while_the_interval_straddles_it(rho: float) -> None:
    """A ρ around 0.5 whose interval holds 0.5 is not said to be above it."""
    assert kinds(tell(Narrator("ramp"), [view(rho)] * 100)) == ["estimate", "plain"]


def test_past_the_limit_needs_the_lower_end_of_the_interval() -> None:
    """ρ above 1 is neither saturation nor overload while its interval reaches below the limit."""
    assert not {"saturated", "overloaded"} & set(kinds(tell(Narrator("ramp"), [view(1.04)] * 100)))


def test_a_load_that_wavers_is_told_once() -> None:
    """Up and down around a level gives one line; a fall that is sure arms it again."""
    narrator = Narrator("ramp")
    wavering = [view(0.62 if second % 10 < 5 else 0.45) for second in range(200)]
    assert kinds(tell(narrator, wavering)).count("level") == 1
    again = [*[view(0.3)] * 10, *[view(0.65)] * 10]
    assert kinds(tell(narrator, again, 200.0)).count("level") == 1


def test_a_peak_shorter_than_the_hold_is_not_told() -> None:
    """What is so for two scrapes only is passed over."""
    views = [*[view(0.3)] * 10, *[view(1.3)] * 2, *[view(0.3)] * 10]
    assert kinds(tell(Narrator("ramp"), views)) == ["estimate", "plain"]


def test_a_far_saturation_or_a_light_load_is_not_approaching() -> None:
    """A trend is carried to its horizon only, and a rise at low load is no warning."""
    far = [view(0.7, time_to_saturation_seconds=500.0)] * 20
    light = [view(0.4, time_to_saturation_seconds=50.0)] * 20
    flat = [view(0.7)] * 20
    assert "approaching" not in kinds(tell(Narrator("ramp"), [*far, *light, *flat]))


def test_a_wide_first_estimate_waits() -> None:
    """μ between 5 and 20 is not worth a sentence; once it has narrowed it is."""
    wide = view(0.3, service_rate=Estimate(MU, 5.0, 20.0))
    assert kinds(tell(Narrator("ramp"), [wide] * 20)) == []
    assert kinds(tell(Narrator("ramp"), [*[wide] * 20, view(0.3)])) == ["estimate", "plain"]


def test_the_plain_formula_is_no_contrast_inside_the_interval() -> None:
    """Where both formulas agree nothing is said of the plain one."""
    assert kinds(tell(Narrator("ramp"), [view(0.3, service_rate_plain=10.5)] * 5)) == ["estimate"]


def test_a_queue_that_comes_and_goes_is_no_growth() -> None:
    """Somebody waits now and then: the first is told, a slope whose interval holds zero is not."""
    views = [view(0.4, second % 3, queue_slope=Estimate(0.1, -0.1, 0.4)) for second in range(100)]
    assert kinds(tell(Narrator("ramp"), views)) == ["estimate", "plain", "waiting"]


def test_a_queue_that_drains_is_not_said_to_grow() -> None:
    """The trend of the last minutes still rises when the load has fallen; then nothing is claimed."""
    late = view(0.4, 60, queue_slope=Estimate(1.0, 0.5, 2.0))
    assert "growing" not in kinds(tell(Narrator("ramp"), [*[view(1.3, 60)] * 10, *[late] * 20]))


def test_the_summary_gives_the_leads() -> None:
    """When kvwatch warned, when the queue began, when the alerts fired, and what was served against predicted."""
    narrator = Narrator("ramp", Pace(alerts=usual_alerts(speed=6.0)))
    trend = view(0.7, time_to_saturation_seconds=40.0)
    served = view(1.3, 60, observed_service_rate=8.0)
    tell(narrator, [*[view(0.3)] * 5, *[trend] * 35, *[view(1.2, 20)] * 30, *[served] * 30])
    assert narrator.summary() == [
        "first estimate, 0:00 at 30% load: 10.0/s (9.0–11.0); the plain formula said 28.0/s",
        "kvwatch: approaching at 0:08, saturated at 0:43, overloaded at 0:43; ρ at most 1.30",
        "the first request waited at 0:40, 32 s after kvwatch's first warning",
        "an alert on num_requests_waiting > 10 for 10s fired at 0:50, 42 s after kvwatch's first warning",
        "an alert on num_requests_waiting > 0 for 50s fired at 1:30, 82 s after kvwatch's first warning",
        "an alert on kv_cache_usage_perc > 0.9 for 50s fired at 1:30, 82 s after kvwatch's first warning",
        "really served while requests waited: 8.0/s; predicted before the queue: 10.0/s (9.0–11.0), 25% off",
    ]


def test_the_summary_admits_a_late_warning() -> None:
    """A queue that was there before kvwatch spoke is not called a lead."""
    narrator = Narrator("ramp")
    tell(narrator, [*[view(0.3)] * 5, *[view(0.6, 3)] * 5, *[view(1.3, 20)] * 10])
    assert "the first request waited at 0:05, before kvwatch warned" in narrator.summary()


def test_the_summary_of_a_quiet_engine_or_a_short_run() -> None:
    """Nothing happened, or nothing was known yet."""
    quiet, short = Narrator("steady"), Narrator("steady")
    tell(quiet, [view(0.3)] * 20)
    tell(short, [view(None, mu=None)] * 5)
    assert quiet.summary()[1:] == [
        "kvwatch: no saturation ahead; ρ at most 0.30",
        "no request waited",
        "in this run no alert on num_requests_waiting > 10 for 1m or num_requests_waiting > 0 for 5m"
        " or kv_cache_usage_perc > 0.9 for 5m",
    ]
    assert short.summary() == ["too short for an estimate"]


def test_an_alert_waits_for_an_unbroken_spell() -> None:
    """As in Prometheus: one sample at the threshold starts the waiting anew; it fires once."""
    alert = Alert(AlertRule("num_requests_waiting", lambda one: one.queue_length, 10, 60))
    queue = [11.0] * 60 + [10.0] + [11.0] * 200
    fired = [second for second, waiting in enumerate(queue) if alert.update(float(second), view(queue=waiting))]
    assert fired == [121]
    assert alert.fired_at == 121.0


def test_a_latch_needs_both_conditions_to_hold() -> None:
    """It turns on after the hold, and on again only after the opposite has held as long."""
    latch = Latch(3.0)
    rises = "0110111100111100011111"
    falls = "0000000011000011110000"
    on = [n for n, (up, down) in enumerate(zip(rises, falls, strict=True)) if latch.update(n, up == "1", down == "1")]
    assert on == [7, 21]


def test_times_and_rates_read_well() -> None:
    """Minutes and seconds; two or three digits."""
    assert [clock(0), clock(65.9), clock(3600)] == ["0:00", "1:05", "60:00"]
    assert [spell(40.4), spell(119), spell(163)] == ["40 s", "119 s", "2 min 43 s"]
    assert [rate(0.123), rate(0.96), rate(5.06), rate(152.3)] == ["0.12", "1.0", "5.1", "152"]


def test_who_uses_the_memory_is_named_where_it_is_a_large_part() -> None:
    """In the warning before an overload and in the overload; the rest and the nameless are nobody."""
    for shares, words in (
        ({"acme": 0.61, "b": 0.39}, "; 61% of the memory-work is tenant acme's"),
        ({"other": 0.6, "unknown": 0.35, "c": 0.05}, ""),
    ):
        narrator = Narrator("ramp")
        tell(narrator, [view(0.3)] * 10)
        tell(narrator, [view(0.7, time_to_saturation_seconds=40.0, demand_share=shares)] * 10, start=10)
        tell(narrator, [view(1.3, demand_share=shares)] * 10, start=20)
        assert narrator.first["approaching"].text.endswith(f"/s{words}")
        assert narrator.first["overloaded"].text.endswith(f"/s{words}")
