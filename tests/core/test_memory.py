"""No engine grows with what it is shown, however long it is watched and however many requests its logs tell of."""

from __future__ import annotations

from dataclasses import replace

from kvwatch.core.engine import EngineEstimator
from kvwatch.core.options import CoreOptions
from kvwatch.core.reader import SampleReader
from kvwatch.facts import EngineKey, RequestRecord, RequestStarted
from tests.core.synthetic import SEATS_KNOWN, START, SyntheticEngine, poisson
from tests.reflection import size_bytes


def test_after_thirty_thousand_intervals_an_engine_is_as_large_as_after_ten_thousand() -> None:
    """Eight hours of scrapes, with requests of three thousand tenants in the logs, take at most a tenth more memory.

    All windows are full after an hour. What keeps eight bytes of each interval, or a tenant, adds 160 kB and more; the
    tenth is for full and half full rings. Each estimator by itself is fed a hundred thousand. The model is known to
    be dense: its law then has fewer parts to work out, and no smaller memory.
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
    sizes = {}
    for number in range(30_000):
        now = START + number
        engine.last = replace(shown[number % 299 + 1], start=now, end=now + 1)
        for part in engine._parts:
            part.update(engine.last)
        if number % 10 == 0:
            engine.observe_start(RequestStarted(now), now)
            engine.observe_request(RequestRecord(now - 3, now, 100 + number % 50, 40, tenant=f"tenant {number}"), now)
        if number in {9_999, 29_999}:
            sizes[number] = size_bytes(engine)
    assert sizes[29_999] <= 1.1 * sizes[9_999]
