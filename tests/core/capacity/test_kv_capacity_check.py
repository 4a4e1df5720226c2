"""M is held against what runs in it: a size that cannot be is found, and worked out where the rest determines it.

The engine is made of arithmetic and holds blocks of its own; what a faulty server shows is put in front of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kvwatch.estimate import Reason
from kvwatch.facts import CacheConfig, EngineSample
from kvwatch.views import EngineView
from tests.core.synthetic import START, TARGET, SyntheticEngine, Watch, poisson

TOKENS = 32_000
"""M of the engine [tokens]."""
TOLERANCE = 0.15
"""How far an M that is worked out may be off [1]: E[g] of a window of two minutes is known to about a tenth."""
Show = Callable[[EngineSample], EngineSample]


def shown_as(cache: CacheConfig, **fields: object) -> Show:
    """A server whose labels say this."""
    return lambda sample: replace(sample, cache=cache, **fields)  # type: ignore[arg-type]


def after(seconds: float, show: Show) -> EngineView:
    """The view of the engine after some time at a moderate load."""
    watch = Watch(SyntheticEngine(poisson(10, seconds), kv_tokens=TOKENS), show=show)
    return watch.run(seconds)


FAULTS = {
    "stale block size of a hybrid model": CacheConfig(block_size_tokens=16, num_gpu_blocks=62),
    "one rank's blocks, context parallel over 8": CacheConfig(block_size_tokens=16, num_gpu_blocks=TOKENS // 16 // 8),
    "one rank's blocks, context parallel over 2": CacheConfig(block_size_tokens=16, num_gpu_blocks=TOKENS // 16 // 2),
    "all four ranks' blocks": CacheConfig(block_size_tokens=16, num_gpu_blocks=TOKENS // 16 * 4),
    "a size that is none": CacheConfig(block_size_tokens=16, num_gpu_blocks=100, kv_cache_size_tokens=1600),
    "the largest of several block sizes": CacheConfig(block_size_tokens=256, num_gpu_blocks=TOKENS // 16),
}


@pytest.mark.parametrize("cache", FAULTS.values(), ids=FAULTS)
def test_a_size_that_cannot_be_is_worked_out_from_what_runs(cache: CacheConfig) -> None:
    """μ is that of a server that shows the truth, and pages and sizes under a reason that says so."""
    truth = after(240, lambda sample: sample)
    view = after(240, shown_as(cache))
    assert view.kv_capacity_tokens.value == pytest.approx(TOKENS, rel=TOLERANCE)
    assert view.kv_capacity_tokens.verdict is Reason.CAPACITY_FROM_USAGE
    assert view.service_rate.verdict is not None
    assert view.service_rate.verdict.pages
    assert truth.service_rate.value is not None
    assert view.service_rate.value == pytest.approx(truth.service_rate.value, rel=0.25)
    assert view.stable_limit.value != 0


@pytest.mark.long
@pytest.mark.parametrize("cache", FAULTS.values(), ids=FAULTS)
def test_no_number_that_rests_on_such_a_size_is_ever_valid(cache: CacheConfig) -> None:
    """From the first scrape on: what is off by more than half is absent, or says that it is not sure."""
    truth = after(240, lambda sample: sample).service_rate.value
    watch = Watch(SyntheticEngine(poisson(10, 240), kv_tokens=TOKENS), show=shown_as(cache))
    assert truth is not None
    for _ in watch.seconds(240):
        mu = watch.view().service_rate
        if mu.value is not None and mu.verdict is Reason.OK:
            assert 0.5 * truth < mu.value < 1.5 * truth


@pytest.mark.parametrize("factor", [1 / 4, 1 / 2, 2.0, 3.0])
def test_where_the_share_in_use_may_be_wrong_instead_the_interval_spans_both(factor: float) -> None:
    """A scaled share looks like a wrong size: what is shown of M and what follows from its use are both possible."""
    truth = after(240, lambda sample: sample)
    view = after(240, lambda s: replace(s, kv_usage_ratio=min(factor * (s.kv_usage_ratio or 0.0), 1.0)))
    assert view.service_rate.verdict is Reason.CAPACITY_FROM_USAGE
    assert view.service_rate.lower < truth.service_rate.value < view.service_rate.upper


def test_a_size_that_less_than_runs_would_fill_is_not_possible() -> None:
    """Whatever is shown of its use: the interval is then that of the size that was worked out."""
    stale = after(240, shown_as(CacheConfig(block_size_tokens=16, num_gpu_blocks=62)))
    unknown = after(240, shown_as(CacheConfig()))
    assert stale.service_rate.lower == pytest.approx(unknown.service_rate.lower, rel=0.1)


def test_a_size_that_is_not_shown_is_worked_out_too() -> None:
    """The server of vLLM's Rust frontend shows no cache config."""
    view = after(240, shown_as(CacheConfig()))
    assert view.kv_capacity_tokens.value == pytest.approx(TOKENS, rel=TOLERANCE)
    assert view.service_rate.value is not None


@pytest.mark.parametrize("seconds", [60, 120, 600])
@pytest.mark.parametrize("rate", [1.0, 10.0, 25.0])
def test_a_size_that_is_right_is_believed(seconds: float, rate: float) -> None:
    """At every load and from the beginning."""
    watch = Watch(SyntheticEngine(poisson(rate, seconds), kv_tokens=TOKENS))
    for _ in watch.seconds(seconds):
        pass
    view = watch.view()
    assert view.kv_capacity_tokens.verdict is Reason.OK
    assert view.kv_capacity_tokens.value == pytest.approx(TOKENS, abs=16)


def _short(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(20, 100)), int(rng.integers(10, 60))


def _long(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(300, 900)), int(rng.integers(200, 400))


@pytest.mark.long
def test_traffic_that_changes_refutes_nothing() -> None:
    """Lengths of those that finish are not those of who is inside, for minutes; M stays what the server says."""
    asks = [*poisson(6, 200, lengths=_short), *poisson(2, 400, seed=2, lengths=_long, start=START + 200)]
    watch = Watch(SyntheticEngine(asks, kv_tokens=TOKENS))
    for _ in watch.seconds(600):
        assert watch.view().kv_capacity_tokens.verdict is Reason.OK


def test_shared_prefixes_refute_nothing() -> None:
    """Nine tenths of each prompt are held once for all: the lengths say three times what is in memory."""

    def shared(sample: EngineSample) -> EngineSample:
        computed = 0.1 * (sample.prompt_tokens or 0.0)
        usage = 0.35 * (sample.kv_usage_ratio or 0.0)
        return replace(sample, prompt_tokens_computed=computed, kv_usage_ratio=usage)

    view = after(300, shared)
    assert view.kv_capacity_tokens.verdict is Reason.OK


def test_where_nothing_tells_how_much_is_shared_a_refuted_size_is_withheld() -> None:
    """An old server with a prefix cache: a request was longer than M, and by how much M is larger nobody knows."""
    cache = CacheConfig(block_size_tokens=16, num_gpu_blocks=31)
    long_prompts = poisson(4, 240, lengths=lambda rng: (int(rng.integers(400, 900)), int(rng.integers(10, 60))))
    watch = Watch(SyntheticEngine(long_prompts, kv_tokens=TOKENS), show=shown_as(cache, prompt_tokens_computed=None))
    view = watch.run(240)
    assert view.kv_capacity_tokens.value is None
    assert view.kv_capacity_tokens.verdict is Reason.CAPACITY_REFUTED
    assert view.service_rate.verdict is Reason.CAPACITY_REFUTED
    assert view.service_rate.value is None
    assert watch.fleet.view(watch.at).models[0].replicas_required is None


def test_the_counter_of_cache_hits_tells_it_too() -> None:
    """The same server, whose counter of hits stays 0: nothing is shared."""
    cache = CacheConfig(block_size_tokens=16, num_gpu_blocks=62)
    view = after(240, shown_as(cache, prompt_tokens_computed=None, prefix_cache_hits=0.0))
    assert view.kv_capacity_tokens.value == pytest.approx(TOKENS, rel=TOLERANCE)


def test_a_finished_request_longer_than_the_cache_refutes_it() -> None:
    """Its log shows one: δ above 1 is an error of M, and no stable limit of 0."""
    cache = CacheConfig(block_size_tokens=16, num_gpu_blocks=12)
    watch = Watch(SyntheticEngine(poisson(10, 60), kv_tokens=TOKENS), show=shown_as(cache), log_requests=True)
    for _ in watch.seconds(60):
        view = watch.view()
        assert view.stable_limit.value is None or view.stable_limit.value > 0.5
    assert watch.view().kv_capacity_tokens.verdict is Reason.CAPACITY_FROM_USAGE


def test_memory_that_others_hold_refutes_nothing() -> None:
    """A prefill server keeps what it has computed until it is fetched: its memory is fuller than who runs makes it."""
    one_token = poisson(10, 240, lengths=lambda rng: (int(rng.integers(100, 400)), 1))
    watch = Watch(SyntheticEngine(one_token, kv_tokens=TOKENS))
    watch.show = lambda s: replace(s, kv_usage_ratio=min(0.4 + (s.kv_usage_ratio or 0.0), 1.0))
    assert watch.run(240).kv_capacity_tokens.verdict is Reason.OK


def test_what_was_found_outlives_a_restart_of_kvwatch() -> None:
    """The first scrape after it is read with the M that was found, as is the step law that was learnt with it."""
    cache = CacheConfig(block_size_tokens=16, num_gpu_blocks=62)
    engine = SyntheticEngine(poisson(10, 400), kv_tokens=TOKENS)
    watch = Watch(engine, show=shown_as(cache))
    found = watch.run(240)
    again = Watch(engine, show=shown_as(cache))
    again.fleet.restore(TARGET, watch.fleet.dump()[TARGET])
    view = again.run(2)
    assert view.kv_capacity_tokens.value == pytest.approx(found.kv_capacity_tokens.value, rel=0.01)
    assert again.run(60).service_rate.value is not None


def test_a_server_that_is_mended_is_believed_again() -> None:
    """It restarts with a version that shows the right size."""
    engine = SyntheticEngine(poisson(10, 500), kv_tokens=TOKENS)
    watch = Watch(engine, show=shown_as(CacheConfig(block_size_tokens=16, num_gpu_blocks=62)))
    watch.run(200)
    engine.restart()
    watch.show = lambda sample: sample
    assert watch.run(2).kv_capacity_tokens.verdict is Reason.OK
    assert watch.run(120).kv_capacity_tokens.verdict is Reason.OK


def test_a_disagreement_that_nobody_can_settle_sizes_no_fleet() -> None:
    """M may be too small, or prefixes may be shared, and the server tells neither: half as large is still believed."""
    cache = CacheConfig(block_size_tokens=16, num_gpu_blocks=125)
    show = shown_as(cache, prompt_tokens_computed=None)
    watch = Watch(SyntheticEngine(poisson(10, 240), kv_tokens=TOKENS), show=show)
    for _ in watch.seconds(240):
        view = watch.view()
        assert view.service_rate.value is None or view.service_rate.verdict is Reason.CAPACITY_FROM_USAGE
