"""Which doubts about ρ keep a page back, and which make a ticket: every reason, asked of promtool."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.load import PAGING_REASONS
from kvwatch.estimate import Reason
from tests.alerts.courses import engine, judge

pytestmark = pytest.mark.prometheus

PAGING = [Reason(name) for name in PAGING_REASONS.split("|")]
RISES = [0.5] * 30 + [0.5 + 0.6 * i / 45 for i in range(36)]


@pytest.mark.parametrize("reason", PAGING)
def test_a_doubt_that_pages_keeps_no_page_back_and_makes_no_ticket(tmp_path: Path, reason: Reason) -> None:
    """A hybrid model, or one with speculative decoding, has its doubt for ever and must page all the same."""
    judge(tmp_path, engine(RISES, doubt=reason), {"29m": "", "64m": "SaturationApproaching"})


@pytest.mark.parametrize("reason", [Reason.OCCUPANCY_DISAGREES, Reason.EXTRAPOLATING, Reason.LAW_UNKNOWN])
def test_any_other_doubt_keeps_the_page_back_and_makes_a_ticket(tmp_path: Path, reason: Reason) -> None:
    """The ticket says after half an hour that pages are off."""
    judge(tmp_path, engine(RISES, doubt=reason), {"29m": "", "64m": "EstimateInvalid"})


def test_an_engine_that_kvwatch_does_not_cover_makes_no_ticket(tmp_path: Path) -> None:
    """An embedding server never has a ρ: half an hour later nobody can do anything about that either."""
    judge(tmp_path, engine([0.3] * 60, doubt=Reason.GENERATES_NOTHING), {"59m": ""})


def test_hybrid_models_may_page() -> None:
    """The doubts that an installation cannot get rid of are among those that page."""
    kept = {Reason.HYBRID_KV, Reason.CAPACITY_FROM_USAGE, Reason.SPECULATIVE_DECODING, Reason.BUDGET_UNKNOWN}
    assert all(reason.pages for reason in kept)


def test_what_pages_also_sizes_and_what_is_refuted_does_neither() -> None:
    """The two answers of a reason cannot contradict each other."""
    refuted = {Reason.CAPACITY_REFUTED, Reason.KV_USAGE_OUT_OF_RANGE, Reason.QUEUE_STANDS, Reason.METRIC_MISSING}
    assert all(reason.sizes for reason in Reason if reason.pages)
    assert not any(reason.sizes or reason.pages for reason in refuted)
