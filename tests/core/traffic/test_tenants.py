"""Who uses the memory: shares, rates and means by tenant, and what each would leave of μ."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.core.traffic.tenants import Tenants, label_of
from kvwatch.export.exposition import Exposition
from kvwatch.facts import RequestRecord
from kvwatch.queueing.capacity import KV, SEQS, TOKENS
from kvwatch.queueing.demand import request_demand
from kvwatch.views import EngineView, FleetView, TargetView
from tests.core.synthetic import START, TARGET, SyntheticEngine, Watch, poisson


def tenanted(shares: dict[str | None, float], seconds: float = 300, *, fail: bool = False) -> EngineView:
    """An engine whose requests belong to tenants in turn, as often as their shares say."""
    engine = SyntheticEngine(poisson(10, seconds))
    watch = Watch(engine)
    names = [name for name, share in shares.items() for _ in range(round(10 * share))]
    told = 0
    for _ in watch.seconds(seconds - 1):
        for record in engine.records[told:]:
            told += 1
            tenant = names[told % len(names)]
            watch.fleet.observe(
                TARGET,
                RequestRecord(
                    record.arrival,
                    record.finish,
                    record.prompt_tokens,
                    record.completion_tokens,
                    completed=not (fail and tenant == "b"),
                    tenant=tenant,
                ),
            )
    return watch.view()


def test_shares_are_by_memory_work_and_sum_to_one() -> None:
    """Half of the requests of like lengths are half of the work; who has no name is unknown."""
    view = tenanted({"a": 0.5, "b": 0.3, None: 0.2})
    assert view.demand_share == pytest.approx({"a": 0.5, "b": 0.3, "unknown": 0.2}, abs=0.06)
    assert sum(view.demand_share.values()) == pytest.approx(1)
    assert view.tenant_arrival_rate == pytest.approx({"a": 5, "b": 3, "unknown": 2}, rel=0.15)
    assert sum(view.tenant_arrival_rate.values()) == pytest.approx(10, rel=0.1)
    joint = view.request_demand_token_steps.value["joint"]
    assert view.tenant_request_demand_token_steps == pytest.approx(dict.fromkeys(view.demand_share, joint), rel=0.2)


def test_without_tenants_there_is_no_attribution() -> None:
    """A log that names nobody gives no series, not one called unknown."""
    view = tenanted({None: 1.0})
    assert "joint" in view.request_demand_token_steps.value
    assert (view.demand_share, view.tenant_arrival_rate, view.tenant_service_rate) == ({}, {}, {})


def test_requests_that_failed_count_as_arrivals_and_not_as_work() -> None:
    """A tenant all of whose requests fail is seen, at its rate and with no share."""
    view = tenanted({"a": 0.5, "b": 0.5}, fail=True)
    assert view.demand_share == {"a": 1.0, "b": 0.0}
    assert view.tenant_arrival_rate["b"] == pytest.approx(5, rel=0.15)
    assert "b" not in view.tenant_request_demand_token_steps


@pytest.mark.parametrize("limit", [KV, SEQS, TOKENS])
def test_the_mixture_of_the_tenants_rates_gives_back_the_service_rate(limit: str) -> None:
    """(Σ q/μ)⁻¹ over all tenants, the rest among them, is μ: under each limit."""
    tenants = Tenants(120.0, top=2)
    for n in range(400):
        s, o = 10 + 7 * n % 300, 5 + 3 * n % 90
        asked = (request_demand(s, o, 16, 64), -(-s // 64) + o - 1.0, s + o - 1.0)
        tenants.update(START + n / 10, "abcdefg"[n % 7 * n % 5], 1.0, asked)
    uses = tenants.get(START + 41)
    assert uses is not None
    assert [u.label for u in uses.tenants][-1] == "other"
    rates = uses.service_rates(4.2, limit)
    assert len(set(rates.values())) > 2
    assert 1 / sum(u.ratio / rates[u.label] for u in uses.tenants) == pytest.approx(4.2)


def test_a_tenant_with_longer_requests_has_a_lower_rate_of_its_own() -> None:
    """By KV memory, twice the memory-work is half the rate, as M/(b·E[g]) says."""
    tenants = Tenants(120.0, top=5)
    for n in range(100):
        tenants.update(START + n, "short", 1.0, (1000.0, 10.0, 20.0))
        tenants.update(START + n, "long", 1.0, (2000.0, 10.0, 20.0))
    uses = tenants.get(START + 100)
    assert uses is not None
    rates = uses.service_rates(3.0, KV)
    assert rates["short"] == pytest.approx(2 * rates["long"])
    assert uses.service_rates(3.0, SEQS) == pytest.approx({"short": 3.0, "long": 3.0})


def test_who_left_is_forgotten_with_the_window() -> None:
    """Two and a half minutes later there is nothing of a tenant."""
    tenants = Tenants(120.0, top=5)
    tenants.update(START, "old", 1.0, (1000.0, 10.0, 20.0))
    tenants.update(START + 150, "new", 1.0, (1000.0, 10.0, 20.0))
    uses = tenants.get(START + 151)
    assert uses is not None
    assert [u.label for u in uses.tenants] == ["new"]


def test_a_late_record_counts_when_it_ended() -> None:
    """In its own slice; one from before the window is passed over, one from the far past does not move the window."""
    tenants = Tenants(120.0, top=5)
    for at, tenant in ((START, "a"), (START - 60, "b"), (START - 500, "c"), (0.0, "d")):
        tenants.update(at, tenant, 1.0, (1000.0, 10.0, 20.0))
    uses = tenants.get(START + 1)
    assert uses is not None
    assert sorted(u.label for u in uses.tenants) == ["a", "b"]


@settings(deadline=None)
@given(st.text(max_size=100))
def test_labels_are_printable_and_short(name: str) -> None:
    """Whatever a log says: lone surrogates, control characters, novels."""
    label = label_of(name)
    assert len(label) <= 65
    assert label
    assert label.isprintable()
    label.encode()


@settings(deadline=None)
@given(st.sets(st.from_regex(r"(other|unknown|[a-z]{1,5})_{0,3}", fullmatch=True), max_size=20))
def test_different_short_names_have_different_labels_and_none_is_that_of_the_rest(names: set[str]) -> None:
    """A tenant who is called other, unknown or other_ is none of the two."""
    labels = {label_of(name) for name in names}
    assert len(labels) == len(names)
    assert not labels & {"other", "unknown"}


def test_hundreds_of_thousands_of_tenants_are_a_bounded_number_of_series_and_bytes() -> None:
    """The heavy one stands out, the rest is other, and what is kept does not grow."""
    tenants = Tenants(120.0, top=20)

    def kept() -> int:
        rows = [row for _, part in tenants.dump()["slices"] for row in part["keys"]]  # type: ignore[attr-defined]
        return sum(sys.getsizeof(row) + sys.getsizeof(row[0]) for row in rows)

    sizes = []
    for n in range(300_000):
        at = START + n / 1500  # 200 s
        tenants.update(at, "heavy" if n % 4 == 0 else f"tenant-{n}", 1.0, (1000.0, 10.0, 20.0))
        if n % 30_000 == 29_999:
            sizes.append(kept())
    uses = tenants.get(START + 200)
    assert uses is not None
    assert max(sizes) < 300_000
    assert len(uses.tenants) <= 21
    shares = {u.label: u.demand_share for u in uses.tenants}
    assert shares["heavy"] == pytest.approx(0.25, abs=0.01)
    assert shares["other"] == pytest.approx(0.75, abs=0.01)
    assert sum(shares.values()) == pytest.approx(1)


def test_hostile_tenants_leave_in_an_exposition_that_parses() -> None:
    """Quotes, newlines and backslashes are escaped; each series once."""
    tenants = Tenants(120.0, top=20)
    names = ['a"b', "a\nb", "a\\b", "\ud800", "other", "", "x" * 200, "{}=,"]
    for name in names:
        tenants.update(START, name, 1.0, (1000.0, 10.0, 20.0))
    uses = tenants.get(START + 1)
    assert uses is not None
    engine = EngineView("t", "m", "0", demand_share={u.label: u.demand_share for u in uses.tenants})
    view = FleetView(START, (TargetView("t", True, 0.1, 0.1, (engine,)),))
    body, _ = Exposition(lambda: view).text()
    (family,) = [f for f in text_string_to_metric_families(body.decode()) if f.name == "kvwatch_demand_share"]
    assert len({s.labels["tenant"] for s in family.samples}) == len(family.samples) == len(names)
