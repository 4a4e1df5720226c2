"""Incidents that a rule on its own could miss: which alerts fire in the course of each, all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.queries import Engines
from tests.alerts.courses import SERVICE_RATE, Course, engine, judge, series, unmarked

pytestmark = pytest.mark.prometheus


@pytest.mark.parametrize("others", [0.62, 0.74, 0.82])
def test_the_queue_of_one_of_three_pages_however_busy_its_model_is(tmp_path: Path, others: float) -> None:
    """At ρ 1.3 of one engine, that is 0.85, 0.93 and 0.98 of its model; the last is not surely a quarter less."""
    grows = [0.0] * 10 + [30.0] * 15
    given = [
        *engine([others] * 10 + [1.3] * 15, grows, target="a"),
        *engine([others] * 25, target="b"),
        *engine([others] * 25, target="c"),
    ]
    judge(tmp_path, given, {"9m": "", "24m": "QueueGrowing SaturationApproaching"})


def test_a_hot_replica_is_a_ticket_until_its_whole_model_is_overloaded(tmp_path: Path) -> None:
    """The ticket ends by its own rule, so that its end is told of; the page says more."""
    grows = [0.0] * 25 + [30.0] * 20
    given = [s for target in "bc" for s in engine([0.3] * 25 + [1.1] * 20, grows, target=target)]
    given += engine([0.95] * 25 + [1.9] * 20, grows, target="a")
    judge(tmp_path, given, {"9m": "", "20m": "HotReplica", "42m": PAGES})


@pytest.mark.parametrize("load", [0.85, 0.93, 0.98])
def test_a_queue_that_grows_for_ever_pages_at_any_load_below_one(tmp_path: Path, load: float) -> None:
    """Of an only engine: either ρ is wrong, or something else holds the requests up."""
    judge(tmp_path, engine([load] * 20, [0.0] * 5 + [30.0] * 15), {"4m": "", "19m": "QueueGrowing"})


def test_an_overload_is_told_once(tmp_path: Path) -> None:
    """A queue that grows because the whole model is overloaded is no second page."""
    given = engine([0.5] * 10 + [1.2] * 15, [0.0] * 10 + [30.0] * 15)
    judge(tmp_path, given, {"9m": "", "24m": "Overloaded Saturated SaturationApproaching"})


def test_load_about_one_is_never_silent(tmp_path: Path) -> None:
    """ρ that is above 1 for a minute and below it for the next lets neither of the two pages wait for ever."""
    given = engine([0.98, 1.02] * 8, [30.0] * 16)
    judge(tmp_path, given, {"12m": "QueueGrowing"})


def test_a_page_ends_openly_when_a_rollout_begins(tmp_path: Path) -> None:
    """The rule itself ends it, after its hysteresis, and begins again once the rollout is over."""
    stays = [1.06] * 45
    leaves = stays[:25] + [None] * 20
    given = [*engine(stays, target="a"), *engine(leaves, target="b"), *engine(leaves, target="c")]
    page = "SaturationApproaching"
    judge(tmp_path, given, {"9m": "", "24m": page, "27m": f"Rollout {page}", "35m30s": "Rollout", "40m": page})


def test_an_engine_that_crashes_for_ever_does_not_turn_the_early_page_off(tmp_path: Path) -> None:
    """One of four, three minutes up and three down; the others are slowly filled to the limit."""
    ramp = [0.6] * 30 + [0.6 + 0.4 * i / 40 for i in range(41)]
    loop = [at if i % 6 < 3 else None for i, at in enumerate(ramp)]
    given = [s for target in "abc" for s in engine(ramp, target=target)]
    given += engine(loop, reason="restart", target="d")
    judge(tmp_path, given, {"29m": "Rollout", "68m": "Rollout RolloutLasts SaturationApproaching"})


RISES = [0.5] * 30 + [0.5 + 0.6 * i / 45 for i in range(36)]


@pytest.mark.parametrize("down", [4, 8])
@pytest.mark.parametrize(("load", "page"), [(RISES, "SaturationApproaching"), ([0.8] * 66, "")])
def test_an_engine_that_is_away_for_minutes_again_and_again_hides_no_trend_and_makes_none(
    tmp_path: Path, load: list[float], page: str, down: int
) -> None:
    """One of six, three minutes up; the load rises in 45 minutes from 0.5 to 1.1, or stays at 0.8."""
    loop = [at if i % (3 + down) < 3 else None for i, at in enumerate(load)]
    given = [s for target in "abcde" for s in engine(load, target=target)]
    judge(tmp_path, [*given, *engine(loop, reason="restart", target="f")], {"29m": "", "62m": page, "65m": page})


@pytest.mark.parametrize("away", [4, 8])
def test_an_engine_that_was_away_for_minutes_makes_no_trend_when_it_is_back(tmp_path: Path, away: int) -> None:
    """One of six, at 0.8, and nobody else gets its requests meanwhile."""
    load = [0.8] * 90
    once = [None if 30 <= i < 30 + away else at for i, at in enumerate(load)]
    given = [*(s for target in "abcde" for s in engine(load, target=target)), *engine(once, target="f")]
    judge(tmp_path, given, dict.fromkeys([f"{m}m" for m in range(29, 90)], ""))


def test_one_failed_scrape_does_not_end_the_long_trends(tmp_path: Path) -> None:
    """Of one of four engines, in the middle of a slow ramp."""
    ramp = [0.6] * 30 + [0.6 + 0.3 * i / 30 for i in range(31)]
    fails = [None if i == 54 else at for i, at in enumerate(ramp)]
    given = [s for target in "abc" for s in engine(ramp, target=target)] + engine(fails, target="d")
    judge(tmp_path, given, {"29m": "", "60m": "SaturationApproaching"}, {"60m": "model:kvwatch_arrival_rate:deriv30m"})


OWN = {"instance": "k", "job": "kvwatch", "target": "a", "model_name": "m", "engine": "0"}
"""Labels of the only engine."""


def blind(gone: int, **at: list[float]) -> list[dict[str, str]]:
    """An engine that is overloaded from 10 to 25 minutes and then cannot be seen for ``gone``; and what else is."""
    more = [series(name, {"instance": "k", "job": "kvwatch"}, course) for name, course in at.items()]
    return [*engine([0.5] * 10 + [1.2] * 15 + [None] * gone, [0.0] * 10 + [30.0] * 15 + [0.0] * gone), *more]


def target_up(*values: float) -> dict[str, str]:
    """Whether the server of the only engine answers."""
    return series("kvwatch_target_up", {"instance": "k", "job": "kvwatch", "target": "a"}, values)


PAGES = "Overloaded Saturated SaturationApproaching"


def test_an_overload_that_cannot_be_seen_any_more_goes_on_for_an_hour(tmp_path: Path) -> None:
    """At its height vLLM stops answering: there is a page at any time, but not for ever."""
    given = [*blind(75), target_up(*[1.0] * 25, *[0.0] * 75)]
    times = {"24m": PAGES, "26m": PAGES, "28m": f"{PAGES} Blind", "37m": "Blind TargetDown", "80m": "Blind TargetDown"}
    judge(tmp_path, given, times | {"97m": "TargetDown"})


def test_an_engine_that_goes_while_prometheus_restarts_leaves_no_minute_without_a_page(tmp_path: Path) -> None:
    """Prometheus marks the end of no series then: for five minutes more it goes on with each one's last value."""
    given = [*unmarked(blind(75)), target_up(*[1.0] * 25, *[0.0] * 75)]
    times = {"24m": PAGES, "28m": PAGES, "33m": f"{PAGES} Blind TargetDown", "45m": "Blind TargetDown"}
    judge(tmp_path, given, times | {"80m": "Blind TargetDown"})


def stopped(at: int, load: float) -> list[dict[str, str]]:
    """An engine that is overloaded for 15 minutes, then at ``load``, and is stopped on purpose at this minute."""
    course = [1.2] * 15 + [load] * (at - 15) + [None] * 30
    return [
        *engine(course, [30.0] * 15 + [-450.0] + [0.0] * (at + 14)),
        series("kvwatch_running_requests", OWN, [None if rho is None else 20 * rho for rho in course]),
        target_up(*(float(rho is not None) for rho in course)),
    ]


@pytest.mark.parametrize(("load", "at"), [(0.0, 20), (0.0, 27), (0.4, 28)])
def test_a_server_that_is_stopped_after_its_incident_is_no_page(tmp_path: Path, load: float, at: int) -> None:
    """Idle while the page's hysteresis lasts or right after it, and busy once it has been over for two minutes."""
    held = PAGES if at == 20 else ""
    ended = dict.fromkeys([f"{at + minutes}m" for minutes in (3, 4)], held)
    judge(tmp_path, stopped(at, load), {"14m": PAGES, f"{at}m": held} | ended | {f"{at + 20}m": "TargetDown"})


@pytest.mark.parametrize(("load", "rho"), [(0.5, 0.5), (0.0, None)], ids=["at half", "idle, and μ is not known"])
def test_what_was_out_of_sight_is_paged_until_it_is_known_how_it_is(
    tmp_path: Path, load: float, rho: float | None
) -> None:
    """λ over five minutes is known ten minutes after it is back; the page ends two minutes later."""
    before, gone, late = [1.2] * 20, [None] * 10, [None] * 10
    short, long = [*before, *gone, *[load] * 40], [*before, *gone, *late, *[load] * 30]
    given = [s for s in engine(short, [30.0] * 20 + [0.0] * 50) if 'window="5m"' not in s["series"]]
    rates = [None if at is None else SERVICE_RATE * at for at in long]
    given.append(series("kvwatch_arrival_rate", OWN | {"window": "5m"}, rates))
    given.append(series("kvwatch_utilization", OWN | {"window": "5m"}, [*before, *gone, *late, *[rho] * 30]))
    given.append(target_up(*(float(at is not None) for at in short)))
    times = {
        "19m": "Overloaded",
        "26m": "Blind Overloaded TargetDown",
        "36m": "Blind",
        "41m30s": "Blind",
        "43m": "",
        "60m": "",
    }
    judge(tmp_path, given, times)


def test_an_overload_goes_on_while_kvwatch_is_out_of_sight(tmp_path: Path) -> None:
    """Nothing says that it is over."""
    judge(tmp_path, blind(25, up=[1.0] * 25 + [0.0] * 25), {"24m": PAGES, "37m": "Blind Down", "48m": "Blind Down"})


def test_a_model_that_is_deleted_in_an_overload_is_soon_forgotten(tmp_path: Path) -> None:
    """Nothing of it is left to be asked."""
    judge(tmp_path, blind(30), {"24m": PAGES, "37m": "Blind", "39m": "Blind", "51m": "", "54m": ""})


def test_a_scrape_that_fails_in_an_overload_is_no_second_page(tmp_path: Path) -> None:
    """Nor is a restart of two minutes."""
    load: list[float | None] = [1.2] * 25
    load[15], load[20:22] = None, [None, None]
    up = target_up(*(float(at is not None) for at in load))
    judge(tmp_path, [*engine(load, [30.0] * 25), up], {"14m": PAGES, "16m": PAGES, "22m": PAGES, "24m": PAGES})


def seen(target: str, load: Course, **labels: str) -> list[dict[str, str]]:
    """An engine, and whether its server answers; it does not where the load is None."""
    up = [float(at is not None) for at in load]
    return [
        *engine(load, target=target, **labels),
        series("kvwatch_target_up", {"instance": "k", "job": "kvwatch", "target": target}, up),
    ]


def test_an_engine_that_crashes_for_ever_does_not_keep_a_page_alive(tmp_path: Path) -> None:
    """One of three, three minutes up and three down; the model is close to its limit for a while, and then has room."""
    load = [0.5] * 30 + [0.5 + 0.6 * i / 45 for i in range(35)] + [0.5] * 175
    loop = [at if i % 6 < 3 else None for i, at in enumerate(load)]
    given = [*seen("a", load), *seen("b", load), *seen("c", loop, reason="restart")]
    over = dict.fromkeys(["100m", "110m", "2h", "2h30m", "3h", "3h25m"], "Rollout RolloutLasts")
    judge(tmp_path, given, {"65m": "Blind Rollout RolloutLasts SaturationApproaching"} | over)


@pytest.mark.parametrize("rest", ["bcdefghij", "bc"])
def test_who_was_gone_before_a_page_is_no_part_of_it(tmp_path: Path, rest: str) -> None:
    """One crashes and stays away; the others come close to their limit, long trends anew, and then have room again."""
    load = [0.6] * 20 + [0.6 + 0.35 * i / 35 for i in range(36)] + [0.5] * 30
    given = [s for target in rest for s in seen(target, load)] + seen("a", load[:20] + [None] * 66)
    ticket = dict.fromkeys(["35m", "1h7m", "1h10m", "1h20m"], "TargetDown")
    judge(tmp_path, given, {"54m": "TargetDown SaturationApproaching"} | ticket)


@pytest.mark.parametrize(("gone", "word"), [("j", ""), ("ij", " Blind")])
def test_a_tenth_that_goes_out_of_sight_is_a_ticket_and_a_fifth_a_page(tmp_path: Path, gone: str, word: str) -> None:
    """The rest of the model says how it is."""
    load = [1.2] * 40 + [0.5] * 20
    given = [s for at in "abcdefghij" for s in seen(at, load[:35] + [None] * 25 if at in gone else load)]
    judge(tmp_path, given, {"56m": f"TargetDown{word}"})


def test_a_model_that_goes_on_under_another_name_is_in_sight(tmp_path: Path) -> None:
    """Its server is restarted in an overload and answers for a new name: that is one page, the new one."""
    old, new = [1.2] * 20 + [None] * 40, [None] * 22 + [1.2] * 38
    up = target_up(*(float(i not in (20, 21)) for i in range(60)))
    given = [*engine(old, [30.0] * 60), *engine(new, [0.0] * 22 + [30.0] * 38, model_name="n"), up]
    judge(tmp_path, given, {"19m": PAGES, "24m": PAGES, "34m": PAGES, "45m": PAGES})


def test_a_server_that_does_not_answer_makes_a_ticket_only(tmp_path: Path) -> None:
    """Where no page was out, nothing says that users feel it."""
    given = [*engine([0.5] * 10 + [None] * 25), target_up(*[1.0] * 10, *[0.0] * 25)]
    judge(tmp_path, given, {"9m": "", "13m": "", "20m": "TargetDown", "34m": "TargetDown"})


def test_one_large_request_pages_nobody(tmp_path: Path) -> None:
    """It fills half of the cache, δ is known from it for an hour, and half of what the engine can serve arrives."""
    given = [
        *engine([0.5] * 30),
        series("kvwatch_stable_limit", OWN, [0.95] * 15 + [0.47] * 15),
        series("kvwatch_estimate_valid", {"estimate": "stable_limit", "reason": "ok"} | OWN, [1.0] * 30),
    ]
    judge(tmp_path, given, {"14m": "", "17m": "", "20m": "", "29m": ""})


def test_one_large_request_turns_no_dashboard_red(tmp_path: Path) -> None:
    """The limit of the dashboards has the floor that the rules' has, and where no request is known both are 1."""
    given = [
        *engine([0.5] * 30),
        series("kvwatch_running_requests", OWN, [10.0] * 30),
        series("kvwatch_stable_limit", OWN, [0.95] * 10 + [0.47] * 20),
        series("kvwatch_stability_margin", OWN, [0.45] * 10 + [-0.03] * 20),
        series("kvwatch_estimate_valid", {"estimate": "stable_limit", "reason": "ok"} | OWN, [1.0] * 20 + [0.0] * 10),
    ]
    limit = Engines('model_name="m"').limit
    same = f"({limit}) == on (model_name) model:kvwatch_stable_limit:avg"
    known = {"9m": f"{same} == 0.95", "19m": f"{same} == 0.85", "29m": f"{same} == 1"}
    judge(tmp_path, given, dict.fromkeys(known, ""), known)
