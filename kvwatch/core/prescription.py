"""Which max_num_seqs would serve most, searched with the embedded engine on the engine's own traffic, law and settings.

Where KV memory binds, more requests running than fit to their ends evict each other, and what they had computed is
computed again. Fewer seats than memory invites end that; too few leave memory unused. Between them lies a best
number, which the embedded engine finds by running each candidate. The gain is then measured anew on other orders of
other draws of the same traffic, so that it is not the search's own luck, and told only where it is sure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import hypot, log, sqrt
from statistics import fmean, stdev

import numpy as np

from kvwatch.core.full_engine import Experiment, FullEngineInputs, FullEngineRun
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape
from kvwatch.stats.trend import Z90

LEAST_GAIN_RATIO = 0.03
"""Less is not worth a restart of the server."""
WATERMARK_RATIO = 0.01
"""Share of the KV blocks that an admission is to leave free: the advice in words."""
_COARSE = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.35)
"""Candidates, as multiples of the requests that run at full load under the present seats."""
_REFINEMENTS = 2
_SEED, _CHECKS = 20260615, 3
_STEADY_RATIO = 0.01
"""The cap named before is kept while the best one is no better than this."""
_MODEL_DEVIATION = 0.01
"""Relative sd of a ratio of two runs of the embedded engine against the same ratio of real servers."""
_CURVATURE_DEVIATION = 0.06
"""Relative sd of the step time for each factor e between the two batches: no law is quite straight."""


@dataclass(frozen=True, slots=True)
class Prescription:
    """What a search found; ``max_num_seqs`` and its gain are ``None`` where no cap surely helps.

    ``gain_ratio`` is the throughput gained, ``gain_lower`` the lower end of its 90% interval; ``watermark_gain_ratio``
    what an admission watermark of 1% alone would bring. ``present`` and ``capped`` are the runs behind it.
    """

    max_num_seqs: int | None
    gain_ratio: float | None
    gain_lower: float | None
    watermark_gain_ratio: float
    present: Saturation
    capped: Saturation


@dataclass(frozen=True, slots=True)
class PrescriptionRun:
    """A search, ready to be made anywhere: pure, seeded, about a second of CPU. ``before`` is the cap named last."""

    inputs: FullEngineInputs
    before: int | None = None

    def run(self) -> Prescription | None:
        """The best cap; ``None`` where the engine at full load is not known."""
        x = FullEngineRun(self.inputs).experiment()
        if x is None:
            return None
        cap, present, capped = search(x, self.before)
        draws = list(_draws(x.pool, self.inputs.mix.demand.requests))
        now = [_saturated(x, pool=pool, seed=seed) for seed, pool in draws]
        then = [_saturated(x, cap, pool=pool, seed=seed) for seed, pool in draws]
        kept_free = [_saturated(x, pool=pool, seed=seed, watermark=WATERMARK_RATIO) for seed, pool in draws]
        gains = [b.throughput_rps / a.throughput_rps - 1 for a, b in zip(now, then, strict=True)]
        gain = fmean(gains)
        lower = gain - Z90 * (1 + gain) * hypot(stdev(gains) / sqrt(_CHECKS), self._deviation(present, capped))
        helps = gain >= LEAST_GAIN_RATIO and lower > 0 and cap < x.settings.max_num_seqs
        return Prescription(
            cap if helps else None,
            gain if helps else None,
            lower if helps else None,
            fmean(b.throughput_rps / a.throughput_rps for a, b in zip(now, kept_free, strict=True)) - 1,
            present,
            capped,
        )

    def _deviation(self, a: Saturation, b: Saturation) -> float:
        """Relative sd of the gain that comes from the step law: most of its error is in both step times alike."""
        law = self.inputs.law
        rows = [np.array([1.0, s.mean_decoding, s.mean_prefill_tokens, s.mean_kv_tokens]) for s in (a, b)]
        apart = rows[0] / law.seconds(rows[0][1:].tolist()) - rows[1] / law.seconds(rows[1][1:].tolist())
        fitted = sqrt(max(float(apart @ law.covariance @ apart), 0.0))
        bent = _CURVATURE_DEVIATION * abs(log(max(a.mean_decoding, 1.0) / max(b.mean_decoding, 1.0)))
        return hypot(fitted, bent, _MODEL_DEVIATION)


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

    attempt(round(ratio * present.mean_running) for ratio in _COARSE)
    for _ in range(_REFINEMENTS):
        order = sorted(tried)
        place = order.index(best())
        neighbours = order[max(place - 1, 0) : place + 2]
        attempt((a + b) // 2 for a, b in zip(neighbours, neighbours[1:], strict=False))
    cap = best()
    if before is not None:
        attempt((before,))
        kept = tried.get(before)
        if kept is not None and kept.throughput_rps >= (1 - _STEADY_RATIO) * tried[cap].throughput_rps:
            cap = before
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
        x.settings, max_num_seqs=x.settings.max_num_seqs if cap is None else cap, watermark_ratio=watermark
    )
    return saturate(x.pool if pool is None else pool, settings, x.law, steps=x.steps, seed=seed)


def _draws(pool: Sequence[RequestShape], requests: float) -> Iterable[tuple[int, list[RequestShape]]]:
    """Seeds, and for each a sample of the traffic as large as what has been seen of it."""
    for check in range(_CHECKS):
        source = random.Random(_SEED + 1 + check)  # noqa: S311 (reproducible, not secret)
        yield _SEED + 1 + check, source.choices(pool, k=max(int(min(requests, 1024)), 1))


class Prescriber:
    """When a search is due for one engine, and what the last one said."""

    def __init__(self, least_seconds: float) -> None:
        self._least = least_seconds
        self._at = float("-inf")
        self.prescription: Prescription | None = None

    def due(self, now: float, inputs: FullEngineInputs | None) -> PrescriptionRun | None:
        """A search to make now, or ``None``. One that was handed out counts as made."""
        if inputs is None or now - self._at < self._least:
            return None
        self._at = now
        return PrescriptionRun(inputs, self.prescription.max_num_seqs if self.prescription else None)

    def forget(self) -> None:
        """The settings changed, or the advice no longer applies."""
        self.prescription = None
        self._at = float("-inf")
