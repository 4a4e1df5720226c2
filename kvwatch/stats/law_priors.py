"""What is known of a step law's coefficients beforehand, under each hypothesis: data sheets and published curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvwatch.constants import TINY
from kvwatch.stats.expert_coverage import Array
from kvwatch.stats.step_hypotheses import Hypothesis, PromptBase

LINEAR = 5
"""Coefficients with a regressor of their own: b0, bp, b1, b2, b3 [1]. Definition."""
SIZE = LINEAR + 1
"""Those and W of the experts, or R of a roofline [1]. Definition."""
_GROWTH = 1.0
"""Growth of a dense step from empty to full by sequences, and by resident tokens, over an empty one [1]. Choice:
reading a full KV cache takes as long as reading the weights where the two are of a size."""
_GROWTH_SPREAD = 3.0
"""Its sd over its mean [1]. Choice: wide enough for a CPU and an H200."""
_EXPERTS_SEQUENCE_RATIO = 0.003
"""Time of one decoding sequence over reading all of a mixture [1]. Measured: twelve published systems have 0.0005 to
0.009, median 0.0023, mean 0.0034; between the two. It is of a sequence, so it does not depend on how many fit in."""
_EXPERTS_SEQUENCE_SPREAD = 1.1
"""Its sd over its mean [1]. Measured: 0.8 over those twelve; more, since they are few, and all of them on
GPUs."""
_EXPERTS_GROWTH = 0.5
"""Growth of a mixture's step from empty to full by resident tokens over reading all of it, which is more [1]. Measured:
0.2 to 0.8 over eight of those systems; the middle."""
_EXPERTS_GROWTH_SPREAD = 0.8
"""Its sd over its mean [1]. Choice: covers those eight."""
_PREFILL_RATIO = 0.007
"""Time of one prompt token over reading a dense model's weights [1]. Data sheet: the balance of arithmetic and
bandwidth is 60 to 300 tokens on anything that vLLM runs on; 1/140."""
_PREFILL_SPREAD = 0.6
"""Its sd over its mean [1]. Choice: spans that range."""
_EXPERTS_PREFILL_RATIO = 0.002
"""The same over reading all weights of a mixture [1]. Measured: 0.0005 to 0.003 on GPUs, where k of E experts compute a
token, and 0.005 on a CPU, where arithmetic costs more against reading."""
_EXPERTS_PREFILL_SPREAD = 1.2
"""Its sd over its mean [1]. Choice: covers those; a mean and spread for GPUs alone make the tokens that evictions
compute again too cheap on a CPU, and μ there a tenth higher."""
_EXPERTS_SHARE = 0.65
"""W over b0 + W [1]. Measured: the median of 34 published curves; their quartiles are 0.52 and 0.75."""
_EXPERTS_SPREAD = 0.2
"""Its sd [1]. Measured: by the same quartiles."""
_HOST_RATIO = 0.3
"""Host time over R [1]. Data sheet: 2 of 8 ms for an 8B model on an H100, 2 of 26 for 70B on four A100s."""
_HOST_SPREAD = 0.3
"""Its sd over an empty step [1]. Choice: as large as the ratio itself."""
_BASE_RATIO = {PromptBase.VISIBLE: 1.0, PromptBase.EAGER: 2.5}
"""bp over the time of reading all weights [1]. Measured: on GB300 steps with prompts took 2 to 9 times that."""
_BASE_SPREAD = {PromptBase.VISIBLE: 0.15, PromptBase.EAGER: 2.0}
"""Its sd [1]. Choice: what leaving a graph costs a step that is else the same; and what was measured there."""
_DENSE_EAGER_BASE = (4.0, 4.0)
"""The same two where no experts show [1]. Measured: those steps took 2.6 and 11 times the reading, their prompts'
arithmetic included."""
_EMPTY_RATIO = 0.7
"""Empty step over the shortest mean step seen [1]. Choice: the shortest seen is rarely empty."""
_EMPTY_SPREAD = 0.5
"""Its sd [1]. Choice: a law that has been seen empty moves it by less."""
_LEAST_BASE_RATIO = 0.3
"""b0 over the shortest mean step below which priors in shares of b0 do not follow it [1]. Choice: rows that contradict
each other may well put b0 at 0, and would then make prompts free."""
_UNUSED = 1e-6
"""Relative sd of a coefficient that a hypothesis does not have [1]. Choice: as good as fixed at 0, and still
regular."""


def prior_rows(forms: Sequence[Hypothesis], thetas: Array, shortest: float, full_load: Array) -> tuple[Array, Array]:
    """Rows (J, 6, 6) and targets (J, 6): rows·θ − targets is standard normal a priori."""
    n, _, k = np.maximum(full_load, TINY).tolist()
    rows, targets = np.zeros((len(forms), SIZE, SIZE)), np.zeros((len(forms), SIZE))
    for form, theta, row, target in zip(forms, thetas, rows, targets, strict=True):
        # a fit may well put b0 at 0; a prior that is stated in shares of it must not follow it there
        base = max(float(theta[0]), _LEAST_BASE_RATIO * shortest)
        if form.balance:
            _roofline_prior(row, target, float(theta[0] + theta[LINEAR]), shortest, (n, k))
            continue
        reading = base + float(theta[LINEAR])
        costs = _experts_costs(k) if form.shape else _dense_costs(n, k)
        row[0, 0], target[0] = 1 / (_EMPTY_SPREAD * shortest), _EMPTY_RATIO / _EMPTY_SPREAD
        ratio, spread = _BASE_RATIO[form.base], _BASE_SPREAD[form.base]
        if form.base is PromptBase.EAGER and not form.shape:
            ratio, spread = _DENSE_EAGER_BASE
        row[1, 1] = 1 / (spread * reading)
        row[1, 0] = -ratio * row[1, 1]
        for place, (mean, sd) in enumerate(costs, 2):
            row[place, place], target[place] = 1 / (sd * (reading * mean)), 1 / sd
        if form.shape:
            row[1, LINEAR] = row[1, 0]
            row[LINEAR, LINEAR] = (1 - _EXPERTS_SHARE) / (_EXPERTS_SPREAD * reading)
            row[LINEAR, 0] = -_EXPERTS_SHARE / (_EXPERTS_SPREAD * reading)
        else:
            row[LINEAR, LINEAR] = 1 / (_UNUSED * base)
    return rows, targets


Cost = tuple[float, float]
"""What one of something takes over reading all weights, and the sd of that over it."""


def _dense_costs(n: float, k: float) -> tuple[Cost, Cost, Cost]:
    """Those of a sequence, a prompt token and a resident token of a dense model that holds n and K when full."""
    return (_GROWTH / n, _GROWTH_SPREAD), (_PREFILL_RATIO, _PREFILL_SPREAD), (_GROWTH / k, _GROWTH_SPREAD)


def _experts_costs(k: float) -> tuple[Cost, Cost, Cost]:
    """The same of a mixture of experts that holds K when full."""
    return (
        (_EXPERTS_SEQUENCE_RATIO, _EXPERTS_SEQUENCE_SPREAD),
        (_EXPERTS_PREFILL_RATIO, _EXPERTS_PREFILL_SPREAD),
        (_EXPERTS_GROWTH / k, _EXPERTS_GROWTH_SPREAD),
    )


def _roofline_prior(row: Array, target: Array, empty: float, shortest: float, full: tuple[float, float]) -> None:
    """The same for host time b0, b1, b3 and R, of an ``empty`` step of b0 + R; bp and b2 are not used."""
    empty = max(empty, _LEAST_BASE_RATIO * shortest)
    row[0, 0] = row[0, LINEAR] = 1 / (_EMPTY_SPREAD * shortest)
    target[0] = _EMPTY_RATIO / _EMPTY_SPREAD
    row[LINEAR, 0], row[LINEAR, LINEAR] = 1 / (_HOST_SPREAD * empty), -_HOST_RATIO / (_HOST_SPREAD * empty)
    row[1, 1] = row[3, 3] = 1 / (_UNUSED * empty)
    row[2, 2], row[4, 4] = (load / (_GROWTH * _GROWTH_SPREAD * empty) for load in full)
    target[2] = target[4] = 1 / _GROWTH_SPREAD
