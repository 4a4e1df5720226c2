"""How many requests may wait so that each of them is still served within the latency target.

vLLM bounds what it takes in by ``--max-num-queued-reqs``, which counts the requests that run too, and by
``--max-num-queued-tokens``, the prompt tokens of those whose prompt is not computed yet; what comes beyond is answered
with 503. (Source: vLLM 0.32, v1/engine/async_llm.py, check_admission.)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt

from kvwatch.core.latency.curve import Curve
from kvwatch.embedded.latency_curve import SHARES, TARGET_SHARE, Slo
from kvwatch.estimate import Estimate, KeyedEstimate
from kvwatch.stats.normal import Z90

_DEPARTURE_DEVIATION = 1.0
"""Coefficient of variation of the times between two admissions of a full engine [1]. Choice: as of a Poisson stream;
memory and seats come free more evenly than that."""


@dataclass(frozen=True, slots=True)
class QueueBound:
    """What to set for one engine: requests that run or wait, and prompt tokens of those that wait."""

    requests: float
    prompt_tokens: float


def queue_bound(curve: Curve | None, slo: Slo, service_rate: Estimate, rates: KeyedEstimate) -> QueueBound | None:
    """The longest queue whose last request is served in time in 95% of the cases, by the lower end of μ.

    ``None`` where no target is about waiting, or no load meets it.
    """
    if curve is None or rates.verdict is None or not rates.verdict.valid or not service_rate.lower:
        return None
    seconds = _longest_wait(curve, slo)
    if seconds is None or seconds <= 0:
        return None
    # the n-th in the queue waits n/μ in the mean, with a standard deviation of √n/μ; solved for √n
    half = Z90 * _DEPARTURE_DEVIATION / 2
    root = sqrt(half**2 + service_rate.lower * seconds) - half
    waiting = floor(root**2)
    return QueueBound(float(floor(curve.full.mean_running) + waiting), float(round(waiting * curve.mean_prompt_tokens)))


def queue_advice(bound: QueueBound | None) -> tuple[str, ...]:
    """What to set, in a sentence; nothing where there is no bound."""
    if bound is None:
        return ()
    return (
        f"Bound the queue of each engine: --max-num-queued-reqs {bound.requests:.0f} --max-num-queued-tokens"
        f" {bound.prompt_tokens:.0f} (vLLM 0.32 and later). What comes beyond would miss the latency target, and is"
        " refused with 503.",
    )


def _longest_wait(curve: Curve, slo: Slo) -> float | None:
    """How long a request may wait: its target, or what that of the first token leaves when the prompt is computed."""
    last = curve.points[-1]
    high = SHARES.index(TARGET_SHARE)
    prompt = last.first_token_seconds[high] - last.wait_seconds[high]
    found = [slo.wait_seconds] if slo.wait_seconds is not None else []
    if slo.first_token_seconds is not None:
        found.append(slo.first_token_seconds - max(prompt, curve.full.mean_step_seconds))
    return min(found, default=None)
