"""Minutes of the day of faults, and that its judge sees what is wrong."""

from __future__ import annotations

from dataclasses import replace

from bench.fault_day.__main__ import measure
from bench.fault_day.day import Day
from bench.fault_day.faults import catalogue
from bench.fault_day.judge import wrong
from kvwatch.parse.exposition.vllm import VLLM


def test_minutes_of_faults_bring_no_wrong_number_no_page_and_no_fault_of_kvwatch() -> None:
    """A whole day is `python -m bench.fault_day`, which takes some minutes of CPU."""
    found = measure(hours=0.3, seed=1)
    assert found["faults"] >= 15
    assert found["with_load"] > 0
    assert (found["internal_errors"], found["wrong"], found["pages"]) == (0, 0, []), found["examples"]


def test_the_judge_sees_numbers_that_are_old_or_off() -> None:
    """The same moment is right, of four intervals ago, and of a server that serves half as much."""
    day = Day(600.0, seed=1, with_faults=False)
    *_, last = day.moments()
    assert not list(wrong(last, day.server))
    assert last.engines[0].utilization.value
    old = replace(last, hidden_since={"utilization": last.at - 20.0})
    assert [found.words for found in wrong(old, day.server) if "20 s ago" in found.words]
    day.server.service_rate /= 2
    assert [found.words for found in wrong(last, day.server) if "for" in found.words]


def test_each_metric_that_is_read_has_its_faults() -> None:
    """Every histogram and every row of vLLM's table: gone, frozen, and five values that are none."""
    names = [fault.name for fault in catalogue()]
    assert len(set(names)) == len(names)
    for metric in VLLM.histograms.values():
        assert sum(name.startswith(f"{metric} ") for name in names) == 7
