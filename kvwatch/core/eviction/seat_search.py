"""Which max_num_seqs would serve most, searched with the embedded engine on the engine's own traffic, law and settings.

Where KV memory binds, more requests running than fit to their ends evict each other, and what they had computed is
computed again. Fewer seats than memory invites end that; too few leave memory unused. Between them lies a best
number, which the embedded engine finds by running each candidate. The gain is then measured again on other orders of
other draws of the same traffic, so that it is not the search's own luck, and reported only where it is sure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot, log, sqrt
from statistics import fmean, stdev

from kvwatch.core.capacity.correction import Experiment, FullEngineRun
from kvwatch.core.capacity.full_engine import FullEngineInputs
from kvwatch.core.capacity.model_deviation import CURVATURE_DEVIATION
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape
from kvwatch.stats.level_rates import Fall
from kvwatch.stats.normal import Z90

LEAST_GAIN_RATIO = 0.03
"""Least gain of throughput for which max_num_seqs is recommended [1]. Choice: less is not worth a restart of the
server."""
WATERMARK_RATIO = 0.01
"""Share of the KV blocks that an admission is to leave free in the advice in words [1]. Measured: bench/congestion,
where 1% alone gains up to a fifth and never loses more than 0.3%."""
_COARSE = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.35)
"""First caps that a search tries, over the requests running at full load under the present seats [1]. Choice: the best
cap lies within a fourth of what runs without evictions; two refinements between neighbours then find it to some per
cent."""
_REFINEMENTS = 2
"""Rounds of a search between the neighbours of the best cap [rounds]. Choice: each halves the distance of 10%, to 2.5%
here, where throughput is flat within 1%."""
_SEED = 20260615
"""Seed of a search's first order of requests [1]. Choice: any, but not that of the correction, so that its luck is not
taken up."""
_CHECKS = 3
"""Other draws of the traffic on which a cap's gain is measured again [runs]. Choice: the least that has a standard
deviation worth its name; each costs three runs."""
_LIFETIMES = 8
"""Mean lifetimes of a run in a search [lifetimes]. Choice: all requests begin together, and it takes a few lifetimes
until that no longer shows."""
_MOST_STEPS = 40_000
"""Longest run of a search [steps]. Choice: half a second of CPU; a search makes some twenty."""
_STEADY_RATIO = 0.01
"""Loss against the best cap up to which a cap counts as good as it [1]. Choice: a run's own noise; the one named before
is kept among them, so that advice does not flap."""
_MODEL_DEVIATION = 0.01
"""Relative standard deviation of a ratio of two runs of the embedded engine against the same ratio of real servers [1].
Choice: less than that of a single run (0.025), as most of what the embedded engine gets wrong is in both."""
_MOST_DRAWN = 1024
"""Requests of a draw [requests]. Choice: as many as the mix is learnt from; the rest is the draw's own noise."""


@dataclass(frozen=True, slots=True)
class Prescription:
    """What a search found; ``max_num_seqs`` and its gain are ``None`` where no cap surely helps.

    ``gain_ratio`` is the throughput gained, ``gain_lower`` the lower end of its 90% interval; ``watermark_gain_ratio``
    what an admission watermark of 1% alone would bring. ``unsure`` says that a cap may well help, but not surely.
    ``crowding`` is what was measured, where it was no search that found the cap.
    """

    max_num_seqs: int | None = None
    gain_ratio: float | None = None
    gain_lower: float | None = None
    watermark_gain_ratio: float = 0.0
    unsure: bool = False
    crowding: Fall | None = None


@dataclass(frozen=True, slots=True)
class PrescriptionRun:
    """A search, ready to be made anywhere: pure, seeded, about a second of CPU. ``before`` is the cap named last."""

    inputs: FullEngineInputs
    before: int | None = None

    def run(self) -> Prescription:
        """The best cap; an empty prescription where the engine at full load is not known."""
        made = FullEngineRun(self.inputs).experiment()
        if made is None:
            return Prescription()
        lifetime = self.inputs.demand.steps or 0.0
        x = replace(made, steps=int(min(max(made.steps, _LIFETIMES * lifetime), _MOST_STEPS)))
        return prescribe(x, self.inputs.mix.demand.requests, self._deviation, self.before)

    def _deviation(self, a: Saturation, b: Saturation) -> float:
        """Relative sd of the gain that comes from the step law: most of its error is in both step times alike."""
        law = self.inputs.law
        steps = [(s.mean_decoding, s.mean_prefill_tokens, s.mean_kv_tokens, s.mean_prefill_share) for s in (a, b)]
        fitted = law.ratio_deviation(*steps)
        bent = CURVATURE_DEVIATION * abs(log(max(a.mean_decoding, 1.0) / max(b.mean_decoding, 1.0)))
        return hypot(fitted, bent, _MODEL_DEVIATION)


def prescribe(
    x: Experiment,
    requests: float,
    deviation: Callable[[Saturation, Saturation], float],
    before: int | None = None,
) -> Prescription:
    """The best cap for a mix learnt from that number of requests, if it surely helps.

    ``deviation`` gives the relative sd of the ratio of two runs' throughputs that comes from the step law.
    """
    cap, present, capped = search(x, before)
    draws = list(_draws(x.pool, requests))
    now = [_saturated(x, pool=pool, seed=seed) for seed, pool in draws]
    then = [_saturated(x, cap, pool=pool, seed=seed) for seed, pool in draws]
    kept_free = [_saturated(x, pool=pool, seed=seed, watermark=WATERMARK_RATIO) for seed, pool in draws]
    gains = [b.throughput_rps / a.throughput_rps - 1 for a, b in zip(now, then, strict=True)]
    gain = fmean(gains)
    lower = gain - Z90 * (1 + gain) * hypot(stdev(gains) / sqrt(_CHECKS), deviation(present, capped))
    promises = gain >= LEAST_GAIN_RATIO and cap < x.settings.max_num_seqs
    helps = promises and lower > 0
    return Prescription(
        cap if helps else None,
        gain if helps else None,
        lower if helps else None,
        fmean(b.throughput_rps / a.throughput_rps for a, b in zip(now, kept_free, strict=True)) - 1,
        promises and not helps,
    )


def search(x: Experiment, before: int | None = None) -> tuple[int, Saturation, Saturation]:
    """The cap with the highest throughput, the engine as it is set, and the engine under the cap.

    The cap is the present number of seats where none is better.
    """
    seats = x.settings.max_num_seqs
    present = _saturated(x)
    tried = {seats: present}

    def attempt(caps: Iterable[int]) -> None:
        for cap in caps:
            if 1 <= cap < seats and cap not in tried:
                tried[cap] = _saturated(x, cap)

    def best() -> int:
        return max(tried, key=lambda cap: (tried[cap].throughput_rps, -cap))

    def gentlest(least: float) -> int:
        """Of the caps that serve as much: fewer evictions are shorter waits, and an easier task for the real server."""
        good = [cap for cap in tried if tried[cap].throughput_rps >= least]
        return min(good, key=lambda cap: (tried[cap].preemptions_per_finished or 0.0, -tried[cap].throughput_rps))

    attempt(round(ratio * present.mean_running) for ratio in _COARSE)
    for _ in range(_REFINEMENTS):
        order = sorted(tried)
        place = order.index(best())
        neighbours = order[max(place - 1, 0) : place + 2]
        attempt((a + b) // 2 for a, b in pairwise(neighbours))
    if before is not None:
        attempt((before,))
    least = (1 - _STEADY_RATIO) * tried[best()].throughput_rps
    kept = before is not None and before in tried and tried[before].throughput_rps >= least
    cap = before if kept and before is not None else gentlest(least)
    return cap, present, tried[cap]


def _saturated(
    x: Experiment,
    cap: int | None = None,
    *,
    pool: Sequence[RequestShape] | None = None,
    seed: int = _SEED,
    watermark: float = 0.0,
) -> Saturation:
    settings = replace(
        x.settings,
        max_num_seqs=x.settings.max_num_seqs if cap is None else cap,
        watermark_ratio=max(x.settings.watermark_ratio, watermark),
    )
    return saturate(x.pool if pool is None else pool, settings, x.law, steps=x.steps, seed=seed)


def _draws(pool: Sequence[RequestShape], requests: float) -> Iterable[tuple[int, list[RequestShape]]]:
    """Seeds, and for each a sample of the traffic as large as what has been seen of it."""
    for check in range(_CHECKS):
        source = random.Random(_SEED + 1 + check)  # noqa: S311 (reproducible, not secret)
        yield _SEED + 1 + check, source.choices(pool, k=max(int(min(requests, _MOST_DRAWN)), 1))
