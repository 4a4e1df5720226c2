"""Plans for the servers of arXiv 2605.04595: its rates, and the replicas that it sizes from them.

Its engines have M = 131,000 tokens and prompts in chunks of 512; lengths are uniform and independent. Where it prints
no step time, as for eight GPUs and for prompts eight times as long as outputs, the rates alone are held.
"""

from __future__ import annotations

from random import Random
from statistics import fmean

import pytest

from kvwatch.embedded.latency_curve import Slo
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.planning.engine import PlannedEngine
from kvwatch.planning.plan import Plan, Studied, Wanted, planned, replicas_for
from kvwatch.queueing.capacity import paper_service_rate
from tests.queueing.test_capacity import KV_TOKENS, PAPER_TABLE, paper_demand

EIGHT_GPUS, ONE_OF_EIGHT = 25.808, 3.226
"""μ of eight data-parallel GPUs and of one, as printed [requests/s]; the same traffic as 3.263, timed again."""
PROMPT_HEAVY = ((10, 2844), (10, 355))
"""8:1 of the same 3,200 tokens as the other rows."""
TRIMMED = {0.09219: "4.977", 0.07827: "5.862"}
"""μ as printed [requests/s], by the step time [s] that it follows from: means without the slowest and quickest steps,
5% and 10% of them."""
BUDGET_TOKENS = 2048
"""Of a step [tokens]. Four prompts' chunks: with a single one a step, prompts of 8:1 would be bound to 3.4 requests a
second, less than the paper measured."""


class Steady:
    """Every step takes as long, as the paper's formula has it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of a step."""
        return self.seconds

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """The same in the mean."""
        return self.seconds


def uniform(*kinds: tuple[tuple[int, int], tuple[int, int]]) -> tuple[RequestShape, ...]:
    """As many requests of each kind, with lengths of its ranges."""
    source = Random(3)
    return tuple(RequestShape(source.randint(*s), source.randint(*o)) for _ in range(1000) for s, o in kinds)


def plan(pool: tuple[RequestShape, ...], step_seconds: float, rate: float = 0.0, utilization: float = 1.0) -> Plan:
    """What the planner says of such a server for a load."""
    settings = SchedulerSettings.from_capacity(
        KV_TOKENS, max_num_seqs=256, max_num_batched_tokens=BUDGET_TOKENS, max_model_len=8192
    )
    engine = PlannedEngine(pool, settings, Steady(step_seconds))
    studied = Studied(engine, engine.full(), (), (), ())
    return planned(studied, Wanted((rate,), utilization, Slo()))


@pytest.mark.parametrize(("prompts", "outputs", "step_seconds", "printed"), PAPER_TABLE)
def test_a_plan_has_the_rates_of_the_papers_table(
    prompts: tuple[int, int], outputs: tuple[int, int], step_seconds: float, printed: str
) -> None:
    """Within 10%, as the paper's own GPUs: whole blocks are held, and what is evicted is computed again."""
    made = plan(uniform((prompts, outputs)), step_seconds)
    assert made.service_rate == pytest.approx(float(printed), rel=0.1)


def test_eight_gpus_are_eight_times_one_and_the_load_over_it_is_how_many_it_takes() -> None:
    """8 × 3.226 = 25.808, and G = λ/(μρ): at nine tenths eight GPUs are enough for 23.2 requests a second."""
    assert f"{8 * ONE_OF_EIGHT:.3f}" == f"{EIGHT_GPUS:.3f}"
    assert replicas_for(EIGHT_GPUS, ONE_OF_EIGHT) == 8
    assert replicas_for(EIGHT_GPUS + 0.001, ONE_OF_EIGHT) == 9
    assert [replicas_for(rate, 0.9 * ONE_OF_EIGHT) for rate in (23.2, 23.3)] == [8, 9]
    prompts, outputs, step_seconds, _ = PAPER_TABLE[0]
    one = plan(uniform((prompts, outputs)), step_seconds)
    (eight,) = plan(uniform((prompts, outputs)), step_seconds, 8 * 0.9 * one.service_rate, 0.9).replicas
    assert eight.number == 8


def test_a_mixture_takes_the_mean_of_the_time_that_each_kind_takes() -> None:
    """1/μ = Σ q/μ: halves of 3.956 and 2.902 are 3.348; the same of the step time and the memory that each needs."""
    assert f"{1 / fmean((1 / 3.956, 1 / 2.902)):.3f}" == "3.348"
    kinds = PAPER_TABLE[1:]
    demands = [paper_demand(prompts, outputs) for prompts, outputs, _, _ in kinds]
    work = fmean(seconds * demand for demand, (_, _, seconds, _) in zip(demands, kinds, strict=True))
    assert f"{paper_service_rate(KV_TOKENS, work / fmean(demands), fmean(demands)):.3f}" == "3.348"


def test_a_plan_of_mixed_traffic_has_the_rate_of_the_mixture() -> None:
    """Within 4%, of which half is what a run of a thousand lengths may be off by; halves of two kinds, equal steps."""
    kinds = [(prompts, outputs) for prompts, outputs, _, _ in PAPER_TABLE[1:]]
    alone = [plan(uniform(kind), 0.04).service_rate for kind in kinds]
    assert plan(uniform(*kinds), 0.04).service_rate == pytest.approx(1 / fmean(1 / rate for rate in alone), rel=0.04)


@pytest.mark.parametrize(("step_seconds", "printed"), TRIMMED.items())
def test_prompts_eight_times_as_long_as_outputs_hang_on_which_steps_are_counted(
    step_seconds: float, printed: str
) -> None:
    """Slow steps are many there: two ways to leave some out gave the rates on both sides of the GPU's own 5.470."""
    assert f"{paper_service_rate(KV_TOKENS, step_seconds, paper_demand(*PROMPT_HEAVY)):.3f}" == printed
    assert plan(uniform(PROMPT_HEAVY), step_seconds).service_rate == pytest.approx(float(printed), rel=0.1)
    assert 0.07 < abs(float(printed) / 5.470 - 1) < 0.091
