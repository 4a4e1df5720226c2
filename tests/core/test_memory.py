"""No engine grows with what it is shown, however long it is watched and however many requests its logs tell of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvwatch.core.ended import Ended
from kvwatch.core.engine import EngineEstimator
from kvwatch.core.options import CoreOptions
from kvwatch.core.reader import SampleReader
from kvwatch.facts import EngineKey, RequestRecord, RequestStarted
from tests.core.synthetic import SEATS_KNOWN, START, SyntheticEngine, poisson
from tests.reflection import size_bytes

LAP = 299
"""Intervals that are shown again and again; sizes are taken at the end of a lap, where the same is in the windows."""
UPDATES = 335 * LAP
"""A hundred thousand: more than a day of scrapes."""
COSTLY_UPDATES = 40 * LAP
"""Those of parts that fit a law or work out lengths now and then, at up to 170 µs: a hundred thousand of all four take
forty seconds, and show nothing that three hours do not, since their windows are full after one."""
FULL = 17 * LAP
"""Updates after which all windows are full."""


@pytest.mark.long
def test_after_a_hundred_thousand_intervals_each_part_is_as_large_as_after_five_thousand() -> None:
    """A day of scrapes, with the requests of a thousand tenants in the logs, takes at most a tenth more memory.

    What keeps eight bytes of each interval, or a tenant, adds more to any part; the tenth is for full and half full
    rings. The model is known to be dense: its law then has fewer parts to work out, and no smaller memory.
    """
    synthetic, reader = SyntheticEngine(poisson(12, 300, seed=5), seats=8), SampleReader()
    reader.settings = SEATS_KNOWN
    shown = []
    for second in range(1, 301):
        synthetic.advance(START + second)
        sample = replace(synthetic.sample(), key=EngineKey("meta-llama/Llama-3.1-8B-Instruct", "0"))
        interval = reader.read(START + second, sample)
        assert interval is not None
        shown.append(interval)
    engine = EngineEstimator(CoreOptions())
    costly = (engine.law, engine.population, engine.settings, engine.kv_check)
    cheap = [part for part in engine._parts if part not in costly]
    before: dict[str, int] = {}
    for number in range(UPDATES):
        now = START + number
        engine.last = replace(shown[number % LAP + 1], start=now, end=now + 1)
        for part in engine._parts if number < COSTLY_UPDATES else cheap:
            part.update(engine.last)
        if number % 10 == 0:
            record = RequestRecord(now - 3, now, 100 + number % 50, 40, tenant=f"tenant {number}")
            engine.observe_start(RequestStarted(now), now)
            if number < COSTLY_UPDATES:
                engine.observe_request(record, now)
            else:
                engine.arrivals.update_request(Ended.of(record, 1.0, engine.last))
        if number == FULL - 1:
            before = sizes(engine)
    grown = {name: (before[name], size) for name, size in sizes(engine).items() if size > 1.1 * before[name] + 200}
    assert grown == {}


def sizes(engine: EngineEstimator) -> dict[str, int]:
    """Size of each part by itself [bytes], written out."""
    return {type(part).__name__: size_bytes(part) for part in engine._parts} | {"engine": size_bytes(engine)}
