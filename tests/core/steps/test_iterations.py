"""Rows for the step law from single steps, whose log leaves out what happens between two."""

from __future__ import annotations

from dataclasses import replace
from math import floor

import numpy as np
import pytest

from kvwatch.core.steps.iterations import IterationRows
from kvwatch.core.steps.mean_step import StepRow
from kvwatch.facts import Iteration, Scrape
from tests.core.synthetic import START, TARGET, SyntheticEngine, Watch, poisson

M = 32_000.0
OVERHEAD = 1.2


def law(n: float, p: float, k: float) -> float:
    """Seconds that a step really takes."""
    return 0.01 + 0.0005 * n + 0.0001 * p + 1e-7 * k


def steps(count: int, *, whole_seconds: bool = True, idle_ratio: float = 0.02, seed: int = 1) -> list[Iteration]:
    """An engine's steps; now and then it runs empty for a while and begins with a prompt."""
    rng = np.random.default_rng(seed)
    found, at, n = [], START, 5
    for index in range(count):
        empty = rng.random() < idle_ratio
        if empty:
            at += float(rng.exponential(0.7))
            n = 0
        context = 1 if empty or rng.random() < 0.2 else 0
        p = int(rng.integers(50, 500)) * context
        usage = float(rng.uniform(0.1, 0.9))
        seconds = law(n, p, usage * M)
        at += seconds
        stamp = float(floor(at)) if whole_seconds else at
        found.append(Iteration(stamp, index, context, p, n, n, seconds / OVERHEAD, usage))
        n = max(int(n + context + rng.integers(-1, 2)), 1)
    return found


def rows_of(log: list[Iteration]) -> tuple[IterationRows, list[StepRow]]:
    """What a log gives, line by line."""
    rows = IterationRows()
    found = [row for step in log if (row := rows.update(step, M, None)) is not None]
    return rows, found


@pytest.mark.parametrize("whole_seconds", [True, False])
def test_time_between_steps_is_made_up_for_and_idle_time_is_not(whole_seconds: bool) -> None:
    """With stamps of whole seconds too, and although the engine idles between bursts."""
    rows, found = rows_of(steps(20_000, whole_seconds=whole_seconds))
    assert rows.overhead == pytest.approx(OVERHEAD, rel=0.04)
    late = found[len(found) // 2 :]
    ratios = [row.seconds / law(*row.composition[:3]) for row in late]
    assert float(np.mean(ratios)) == pytest.approx(1, rel=0.04)
    assert float(np.std(ratios)) < 0.02


def test_steps_with_and_without_prompts_are_not_mixed() -> None:
    """A mean over both would hide what a prompt costs."""
    _, found = rows_of(steps(20_000))
    prompts = [row.composition[1] for row in found]
    assert min(prompts) == 0
    assert min(p for p in prompts if p) > 200


def test_rows_are_no_more_than_two_a_second() -> None:
    """However short the steps are."""
    log = steps(20_000)
    _, found = rows_of(log)
    assert 0.2 * (log[-1].at - log[0].at) < len(found) < 2 * (log[-1].at - log[0].at)


def test_lost_repeated_and_disordered_lines_leave_the_time_of_a_step_as_it_is() -> None:
    """A hole in the log is no long step."""
    log = steps(20_000)
    rng = np.random.default_rng(2)
    damaged = [step for step in log if rng.random() > 0.1 or step.index < 10]
    damaged = [step for s in damaged for step in ((s, s) if rng.random() < 0.1 else (s,))]
    rows, found = rows_of(damaged)
    assert rows.overhead == pytest.approx(OVERHEAD, rel=0.05)
    assert float(np.mean([r.seconds / law(*r.composition[:3]) for r in found[len(found) // 2 :]])) == pytest.approx(
        1, rel=0.05
    )


def test_until_the_overhead_is_known_there_are_no_rows() -> None:
    """A few steps say nothing about what the log leaves out; neither does a log of an idle engine."""
    _, found = rows_of(steps(100))
    assert found == []
    alone = [Iteration(START + 10 * n, n, 1, 100, 0, 0, 0.02, 0.1) for n in range(1000)]
    assert rows_of(alone)[1] == []


def test_a_log_with_impossible_times_gives_no_impossible_rows() -> None:
    """Zero, negative and huge elapsed times, and time that goes back."""
    log = steps(5000)
    odd = [replace(s, elapsed_seconds=(0.0, -1.0, 1e9)[s.index % 3]) if s.index % 10 == 0 else s for s in log]
    odd = [replace(s, at=s.at - 1e6) if s.index % 997 == 0 else s for s in odd]
    for row in rows_of(odd)[1]:
        assert row.seconds > 0
        assert all(x >= 0 for x in row.composition)


def test_an_engine_learns_its_law_from_the_log_alone() -> None:
    """Few scrapes are busy throughout, but the log has every step: μ is known, and the log is counted once."""
    engine = SyntheticEngine(poisson(0.5, 400))
    watch = Watch(engine)
    log = iter(steps(100_000, idle_ratio=0.0))
    step = next(log)
    for at in watch.seconds(120):
        while step.at <= at:
            watch.fleet.observe(TARGET, step)
            step = next(log)
    assert watch.view().step_seconds.value["saturated"] > law(50, 0, 0)


def test_a_step_of_one_of_several_engines_is_not_guessed() -> None:
    """Without a number it belongs to none, with one to that."""
    watch = Watch(SyntheticEngine(poisson(5, 100)))
    watch.run(5)
    sample = watch.engine.sample()
    other = replace(sample, key=replace(sample.key, engine="1"))
    watch.fleet.observe(TARGET, Scrape(watch.at + 1, (sample, other)))
    watch.fleet.observe(TARGET, steps(1)[0])
    assert watch.fleet.view(watch.at + 1).targets[0].log_lines_unattributed == 1
    watch.fleet.observe(TARGET, Scrape(watch.at + 2, (sample, other)))
    watch.fleet.observe(TARGET, steps(1)[0])
    assert watch.fleet.view(watch.at + 2).targets[0].log_lines_unattributed == 2
    watch.fleet.observe(TARGET, replace(steps(1)[0], engine="1"))
    assert watch.fleet.view(watch.at + 2).targets[0].log_lines_unattributed == 2


def test_one_request_that_decodes_alone_keeps_the_engine_busy() -> None:
    """The time between its steps counts as much as that between the steps of many."""
    alone = [Iteration(START + 0.012 * i, i, 0, 0, 1, 1, 0.01, 0.1) for i in range(4000)]
    rows, _ = rows_of(alone)
    assert rows.overhead == pytest.approx(1.2, rel=0.01)


def test_a_log_is_alive_for_a_minute_after_its_last_step_and_once_its_overhead_is_known() -> None:
    """Then intervals teach nothing beside it; when it is turned off they do again."""
    log = [Iteration(START + 0.012 * i, i, 0, 0, 1, 1, 0.01, 0.1) for i in range(4000)]
    early, _ = rows_of(log[:100])
    assert not early.alive(log[99].at)
    rows, _ = rows_of(log)
    assert rows.alive(log[-1].at + 60.0)
    assert not rows.alive(log[-1].at + 60.1)
    assert not IterationRows().alive(START)
