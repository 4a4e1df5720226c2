"""Every report as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvwatch.backtest.html import as_html as backtest_page
from kvwatch.backtest.report import Report
from kvwatch.planning.html import as_html as plan_page
from kvwatch.planning.plan import Plan
from tests.backtest.conftest import report
from tests.planning.conftest import plan

__all__ = ["plan", "report"]


@pytest.fixture
def reports(report: Report, plan: Plan, tmp_path: Path) -> dict[str, Path]:
    """The files by the command that writes such: of a backtest, of a plan, and of one for two roles."""
    pages = {
        "backtest": backtest_page(report),
        "plan": plan_page({"": plan}),
        "plan-roles": plan_page({"prefill": plan, "decode": plan}),
    }
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.html" for name in pages}
