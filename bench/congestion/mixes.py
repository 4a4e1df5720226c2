"""Forty mixes of lengths, from all alike to as different as can be, each with an engine whose memory binds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bench.accuracy.hardware import HARDWARE
from kvwatch.embedded.settings import RequestShape, SchedulerSettings
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Lengths, Lognormal, Pool, Uniform, fixed
from kvwatch.queueing.demand import block_demand

_POOL, _BLOCK_TOKENS, _BUDGET, _SEATS = 256, 16, 8192, 1024


def _classes(*pairs: tuple[int, int]) -> Pool:
    return Pool(tuple(RequestShape(s, o) for s, o in pairs))


LENGTHS: tuple[tuple[str, Lengths], ...] = (
    ("fixed 64, 192", fixed(64, 192)),
    ("fixed 20, 300", fixed(20, 300)),
    ("fixed 200, 100", fixed(200, 100)),
    ("fixed 300, 250", fixed(300, 250)),
    ("fixed 100, 400", fixed(100, 400)),
    ("fixed 1500, 60", fixed(1500, 60)),
    ("fixed 30, 120", fixed(30, 120)),
    ("fixed 256, 256", fixed(256, 256)),
    ("two: 50, 100 or 200", _classes((50, 100), (50, 200))),
    ("two: 50, 150 or 190", _classes((50, 150), (50, 190))),
    ("two: 100, 80 or 320", _classes((100, 80), (100, 320))),
    ("two: 20, 240 and 400, 60", _classes((20, 240), (400, 60))),
    ("two: 40, 199 or 211", _classes((40, 199), (40, 211))),
    ("three: 50, 90, 130 or 170", _classes((50, 90), (50, 130), (50, 170))),
    ("s 60–68, o 180–200", Uniform((60, 68), (180, 200))),
    ("s 30–100, o 150–250", Uniform((30, 100), (150, 250))),
    ("s 30–100, o 170–230", Uniform((30, 100), (170, 230))),
    ("s 10–50, o 250–350", Uniform((10, 50), (250, 350))),
    ("s 100–300, o 180–220", Uniform((100, 300), (180, 220))),
    ("s 40–60, o 120–160", Uniform((40, 60), (120, 160))),
    ("s 30–100, o 100–300", Uniform((30, 100), (100, 300))),
    ("s 30–100, o 50–350", Uniform((30, 100), (50, 350))),
    ("s 10–400, o 10–400", Uniform((10, 400), (10, 400))),
    ("s 10–160, o 10–640", Uniform((10, 160), (10, 640))),
    ("s 10–800, o 10–200", Uniform((10, 800), (10, 200))),
    ("s 200–600, o 10–300", Uniform((200, 600), (10, 300))),
    ("s 100–1000, o 50–250", Uniform((100, 1000), (50, 250))),
    ("s 1000–3000, o 50–150", Uniform((1000, 3000), (50, 150))),
    ("s 500–1500, o 20–200", Uniform((500, 1500), (20, 200))),
    ("lognormal 100 ±0.3, 200 ±0.10", Lognormal(100, 0.3, 200, 0.10)),
    ("lognormal 60 ±0.3, 250 ±0.12", Lognormal(60, 0.3, 250, 0.12)),
    ("lognormal 100 ±0.3, 200 ±0.15", Lognormal(100, 0.3, 200, 0.15)),
    ("lognormal 100 ±0.3, 200 ±0.3", Lognormal(100, 0.3, 200, 0.3)),
    ("lognormal 100 ±0.5, 200 ±0.5", Lognormal(100, 0.5, 200, 0.5)),
    ("lognormal 100 ±0.5, 200 ±0.7", Lognormal(100, 0.5, 200, 0.7, longest_tokens=1500)),
    ("lognormal 400 ±0.8, 150 ±0.8, ρ 0.6", Lognormal(400, 0.8, 150, 0.8, 0.6, longest_tokens=1500)),
    ("lognormal 300 ±0.6, 100 ±0.6", Lognormal(300, 0.6, 100, 0.6, longest_tokens=1500)),
    ("lognormal 1500 ±0.6, 40 ±0.7", Lognormal(1500, 0.6, 40, 0.7, longest_tokens=6000)),
    ("lognormal 220 ±0.7, 160 ±0.6, ρ 0.3", Lognormal(220, 0.7, 160, 0.6, 0.3, longest_tokens=1500)),
    ("lognormal 80 ±0.4, 300 ±0.4", Lognormal(80, 0.4, 300, 0.4, longest_tokens=1500)),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """A pool of requests, and an engine that they fill."""

    name: str
    pool: tuple[RequestShape, ...]
    settings: SchedulerSettings
    law: StepLaw

    @property
    def lengths(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
        """(s, o) as arrays."""
        return (
            np.array([r.prompt_tokens for r in self.pool], dtype=float),
            np.array([r.output_tokens for r in self.pool], dtype=float),
        )

    @property
    def lifetime(self) -> float:
        """Mean output length, steps."""
        return float(self.lengths[1].mean())


def mixes() -> list[Mix]:
    """The forty, always the same; memory for 50 to 200 requests, step laws of the GPUs of the accuracy bench."""
    made = []
    for number, (name, lengths) in enumerate(LENGTHS):
        source = random.Random(number)
        pool = tuple(islice(lengths.shapes(source), _POOL))
        s, o = (np.array([getattr(r, f"{side}_tokens") for r in pool], dtype=float) for side in ("prompt", "output"))
        held = float(block_demand(s, o, _BLOCK_TOKENS, _BUDGET).mean() / o.mean())
        kv_tokens = int(source.choice((50, 100, 200)) * held)
        settings = SchedulerSettings.from_capacity(
            kv_tokens, block_size_tokens=_BLOCK_TOKENS, max_num_seqs=_SEATS, max_num_batched_tokens=_BUDGET
        )
        made.append(Mix(name, pool, settings, HARDWARE[number % len(HARDWARE)].law))
    return made
