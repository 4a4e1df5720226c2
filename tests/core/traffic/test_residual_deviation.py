"""By how much two estimates of E[g] differ by chance: against leaving stretches out, and many windows."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from kvwatch.core.traffic.lengths import Span
from kvwatch.core.traffic.request_demand import DemandEstimates, LengthBounds, estimate
from kvwatch.core.traffic.residual_deviation import residual_deviation
from kvwatch.estimate import Reason
from kvwatch.facts import EngineSample
from kvwatch.queueing.length_mix import BucketCounts
from kvwatch.stats.group_moments import pair_moments
from tests.core.synthetic import Ask, SyntheticEngine, Watch, poisson

SECONDS_A_STEP = 0.02
TOKENS = 32_000.0
SIGMAS = 3.0
"""Standard deviations beyond which a difference is not chance."""


def spans_of(engine: SyntheticEngine, seconds: float, every: float = 1.0) -> list[Span]:
    """What scrapes of the engine bring; the memory held is the mean of both ends, as a gauge allows no more."""
    spans, last, held = [], engine.sample(), engine.held_tokens
    for _ in range(round(seconds / every)):
        engine.advance(engine.now + every)
        now, inside = engine.sample(), engine.held_tokens
        prompts, outputs = now.request_prompt_tokens, now.request_generation_tokens
        prompts0, outputs0 = last.request_prompt_tokens, last.request_generation_tokens
        assert prompts is not None
        assert outputs is not None
        assert prompts0 is not None
        assert outputs0 is not None
        spans.append(
            Span(
                end=engine.now,
                count=(outputs.count or 0) - (outputs0.count or 0),
                prompt_tokens=(prompts.total or 0) - (prompts0.total or 0),
                output_tokens=(outputs.total or 0) - (outputs0.total or 0),
                generation_tokens=(now.generation_tokens or 0) - (last.generation_tokens or 0),
                held_token_steps=(held + inside) / 2 * every / SECONDS_A_STEP,
                steps=(now.steps or 0) - (last.steps or 0),
                prompt_all=0.0,
                prompt_computed=None,
            )
        )
        last, held = now, inside
    return spans


def found(spans: list[Span]) -> DemandEstimates:
    """Both estimates, with blocks of a token and prompts in one chunk."""
    return estimate(spans, 1, 1 << 20, None, LengthBounds())


def test_it_is_what_leaving_out_each_tenth_shows() -> None:
    """The whole estimate computed ten times over, without a tenth each time."""
    engine = SyntheticEngine(poisson(5, 400, seed=3), step_seconds=SECONDS_A_STEP)
    spans = spans_of(engine, 200)
    ratios = []
    for i in range(10):
        left = found(spans[: 20 * i] + spans[20 * (i + 1) :])
        assert left.residual_ratio is not None
        ratios.append(log(1 + left.residual_ratio))
    assert log(found(spans).chance_ratio) == pytest.approx(SIGMAS * 3 * np.std(ratios), rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize(("rate", "seconds"), [(1.0, 120), (5.0, 120), (5.0, 600)])
def test_it_is_what_many_windows_differ_by(rate: float, seconds: int) -> None:
    """A window with few requests is as uncertain as it says, within a third."""
    residuals, told = [], []
    for seed in range(60):
        engine = SyntheticEngine(poisson(rate, seconds + 30, seed=seed), step_seconds=SECONDS_A_STEP)
        engine.advance(engine.now + 30)
        d = found(spans_of(engine, seconds))
        assert d.residual_ratio is not None
        residuals.append(log(1 + d.residual_ratio))
        told.append(log(d.chance_ratio) / SIGMAS)
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(residuals), rel=1 / 3)


def test_too_little_says_nothing() -> None:
    """Fewer than four spans that know their memory; a tenth that has all that finished, all tokens or all memory."""
    engine = SyntheticEngine(poisson(5, 60, seed=1), step_seconds=SECONDS_A_STEP)
    spans = spans_of(engine, 40)
    moments = pair_moments([s.count for s in spans], [s.prompt_tokens for s in spans], [s.output_tokens for s in spans])
    assert moments is not None
    assert residual_deviation(spans, moments, moments) is not None
    assert residual_deviation(spans[-4:], moments, moments) is not None
    assert residual_deviation(spans[-3:], moments, moments) is None
    assert residual_deviation([*spans[-3:], replace(spans[0], held_token_steps=None)], moments, moments) is None
    for name in ("count", "output_tokens", "generation_tokens", "held_token_steps"):
        only = [replace(span, **{name: 5.0 if i == 6 else 0.0}) for i, span in enumerate(spans)]
        assert residual_deviation(only, moments, moments) is None


@pytest.mark.long
@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_quiet_engine_with_long_tails_is_not_doubted(rate: float) -> None:
    """Nothing is wrong with it; its few requests often differ from those inside by more than 15%, by chance."""
    asks = poisson(
        rate,
        600,
        seed=2,
        lengths=lambda rng: (int(rng.integers(8, 64)), int(min(max(rng.lognormal(4.5, 1.0), 4), 1500))),
    )
    watch = Watch(SyntheticEngine(asks, kv_tokens=int(TOKENS)))
    verdicts, apart = [], []
    for _ in watch.seconds(600):
        view = watch.view()
        verdicts.append(view.service_rate.verdict)
        apart.append(abs(view.occupancy_residual_ratio or 0.0))
    assert np.mean(np.array(apart) > 0.15) > 0.03  # what 15% alone would call a doubt
    assert verdicts.count(Reason.OCCUPANCY_DISAGREES) < 0.005 * len(verdicts)
    assert Reason.CAPACITY_FROM_USAGE not in verdicts


@pytest.mark.long
def test_bursts_are_seldom_doubted() -> None:
    """Eight at a time, of which the short ones finish together: sums over scrapes scatter more than requests do."""
    rng = np.random.default_rng(99)
    bursts = [ask for at in poisson(0.5, 600, seed=1) for ask in [_long_tailed(rng, at.at) for _ in range(8)]]
    watch = Watch(SyntheticEngine(bursts, kv_tokens=int(TOKENS)))
    verdicts = [watch.view().service_rate.verdict for _ in watch.seconds(600)]
    assert verdicts.count(Reason.OCCUPANCY_DISAGREES) < 0.1 * len(verdicts)  # half of the time by 15% alone
    assert Reason.CAPACITY_FROM_USAGE not in verdicts


def _long_tailed(rng: np.random.Generator, at: float) -> Ask:
    return Ask(at, int(rng.integers(8, 64)), int(min(max(rng.lognormal(4.5, 1.0), 4), 1500)))


def test_lengths_that_are_twice_what_is_held_are_doubted_within_two_minutes() -> None:
    """A histogram of outputs that is scaled as a whole: only the memory contradicts it, and by more than chance."""
    asks: list[Ask] = poisson(5, 120, seed=4)
    watch = Watch(SyntheticEngine(asks, kv_tokens=int(TOKENS)), show=_with_outputs_doubled)
    view = watch.run(120)
    assert view.service_rate.verdict in {Reason.OCCUPANCY_DISAGREES, Reason.CAPACITY_FROM_USAGE}


def _with_outputs_doubled(sample: EngineSample) -> EngineSample:
    lengths = sample.request_generation_tokens
    assert lengths is not None
    edges = tuple(2 * edge for edge in lengths.edges)
    return replace(sample, request_generation_tokens=replace(lengths, edges=edges, total=2 * (lengths.total or 0)))


def test_where_buckets_bound_the_variances_the_lengths_may_all_be_at_their_edges() -> None:
    """Outputs in buckets of 40 to 60 tokens have a variance of 20²/12 if even; so a fifth less is no fault either.

    By hand for blocks of a token and one chunk a prompt: E[g] is E[s·o] + E[o·(o − 1)]/2.
    """
    spans = [
        replace(span, count=10.0, prompt_tokens=1000.0, output_tokens=500.0 + 200.0 * (-1) ** i, held_token_steps=6e4)
        for i, span in enumerate(spans_of(SyntheticEngine(poisson(5, 60, seed=1), step_seconds=SECONDS_A_STEP), 40))
    ]
    counts = BucketCounts((40.0, 60.0, float("inf")), (0.0, 400.0, 0.0))
    bounded = estimate(spans, 1, 1 << 20, None, LengthBounds((None, counts)))
    assert bounded.moments is not None
    assert bounded.moments.var_o == pytest.approx(1.25 * 20**2 / 12)
    summed = pair_moments([s.count for s in spans], [s.prompt_tokens for s in spans], [s.output_tokens for s in spans])
    assert summed is not None
    by_chance = residual_deviation(spans, summed, bounded.moments)
    assert by_chance is not None

    def demand(var_o: float) -> float:
        return 100 * 50 + (50**2 + var_o - 50) / 2

    even = 20**2 / 12
    expected = SIGMAS * by_chance + log(demand(1.25 * even) / demand(even / 1.25))
    assert log(bounded.chance_ratio) == pytest.approx(expected, rel=1e-6)
    assert log(found(spans).chance_ratio) == pytest.approx(
        SIGMAS * (residual_deviation(spans, summed, summed) or 0.0), rel=1e-9
    )
