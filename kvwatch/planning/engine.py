"""The engine that a plan is about: its traffic, its scheduler's settings, how long its steps take, how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from kvwatch.embedded.full_means import mean_life
from kvwatch.embedded.latency_curve import Loaded
from kvwatch.embedded.saturation import Saturation, saturate
from kvwatch.embedded.settings import RequestShape, SchedulerSettings

_LIFETIMES = 12
"""Lives of a mean request that a saturated run lasts at least [lifetimes]. Choice: a third warms up, and eight are
measured."""
_LEAST_STEPS, _MOST_STEPS = 2_000, 40_000
"""Shortest and longest saturated run [steps]. Choice: a tenth of a second of CPU, and two seconds."""
_SEED = 20261129
"""Seed of the order of requests [1]. Choice: any, always the same, so that two plans differ by what they are about."""


class Known(StrEnum):
    """Where something that a plan rests on comes from."""

    MEASURED = "measured"
    GIVEN = "given"
    DATA_SHEET = "data sheet"
    ASSUMED = "assumed"


class Law(Protocol):
    """A step law as the embedded engine asks for it: of a single step, and of the mean over steps."""

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        """Seconds of one step."""
        ...

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        """Mean seconds of steps with that mean content."""
        ...


@dataclass(frozen=True, slots=True)
class Basis:
    """One thing that a plan rests on, in words, and where it comes from."""

    what: str
    value: str
    known: Known


@dataclass(frozen=True, slots=True)
class PlannedEngine:
    """One engine of a plan.

    ``factor`` is μ over what the saturated model alone says, as overloads have shown it; ``lower_ratio`` and
    ``upper_ratio`` are the ends of μ's 90% interval over μ.
    """

    pool: tuple[RequestShape, ...]
    settings: SchedulerSettings
    law: Law
    factor: float = 1.0
    lower_ratio: float = 1.0
    upper_ratio: float = 1.0
    basis: tuple[Basis, ...] = ()
    async_scheduling: bool = False

    @property
    def life_steps(self) -> float:
        """E[T], steps that a mean request takes part in."""
        return mean_life(self.pool, None, self.settings).steps

    def full(self, *, seed: int = _SEED) -> Saturation:
        """The engine kept full.

        Raises:
            ValueError: a request can never run.
        """
        steps = int(min(max(_LIFETIMES * self.life_steps, _LEAST_STEPS), _MOST_STEPS))
        return saturate(self.pool, self.settings, self.law, steps=steps, seed=seed)

    def loaded(self, full: Saturation, burstiness: float = 1.0) -> Loaded:
        """The engine as latencies are worked out for it; ``full`` is what :meth:`full` says."""
        return Loaded(
            self.pool,
            self.settings,
            self.law,
            full,
            burstiness=burstiness,
            async_scheduling=self.async_scheduling,
        )

    def with_settings(self, **changes: Any) -> PlannedEngine:  # noqa: ANN401 (as replace takes them)
        """The same with other settings. Raises ValueError for those that vLLM refuses."""
        return replace(self, settings=replace(self.settings, **changes))

    def with_lengths(self, prompts: float = 1.0, outputs: float = 1.0) -> PlannedEngine:
        """The same with prompts and outputs this many times as long; those that then do not fit are cut."""
        longest = min(self.settings.max_model_len, self.settings.kv_capacity_tokens)
        return replace(self, pool=tuple(_scaled(self.pool, prompts, outputs, longest)))

    def slower(self, ratio: float) -> PlannedEngine:
        """The same with steps ``ratio`` times as long."""
        return replace(self, law=_Slower(self.law, ratio))


@dataclass(frozen=True, slots=True)
class _Slower:
    law: Law
    ratio: float

    def step_seconds(self, decoding: float, prefill_tokens: float, resident_tokens: float, share: float) -> float:
        return self.ratio * self.law.step_seconds(decoding, prefill_tokens, resident_tokens, share)

    def mean_seconds(
        self, decoding: float, prefill_tokens: float, resident_tokens: float, prefill_share: float
    ) -> float:
        return self.ratio * self.law.mean_seconds(decoding, prefill_tokens, resident_tokens, prefill_share)


def _scaled(pool: Sequence[RequestShape], prompts: float, outputs: float, longest: int) -> list[RequestShape]:
    made = []
    for shape in pool:
        prompt = min(max(round(shape.prompt_tokens * prompts), 1), longest - 1)
        output = min(max(round(shape.output_tokens * outputs), 1), longest - prompt)
        made.append(
            replace(
                shape,
                prompt_tokens=prompt,
                output_tokens=output,
                shared_prefix_tokens=min(shape.shared_prefix_tokens, prompt),
            )
        )
    return made
