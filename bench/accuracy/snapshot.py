"""A simulated engine's metrics as a row of numbers, and as the facts that kvwatch's parser would make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.histogram import BucketCounts, token_edges
from kvwatch.embedded.settings import SchedulerSettings
from kvwatch.facts import CacheConfig, EngineKey, EngineSample, Histogram

EPOCH = 1_750_000_000.0
"""Unix time at virtual time zero. [choice]"""
_SCALARS = 16
"""Numbers of a row before those of its two histograms. [definition: :func:`row`]"""


def row(engine: Engine) -> list[float]:
    """What an engine shows now: gauges and counters, then buckets and sum of the two histograms of lengths."""
    c = engine.counters
    return [
        c.running,
        c.waiting,
        c.kv_usage_ratio,
        c.finished,
        c.prompt_tokens,
        c.prompt_tokens_cached,
        c.generation_tokens,
        c.preemptions,
        c.prefix_cache_hits,
        _count(c.iteration_tokens),
        c.iteration_tokens.total,
        c.inter_token_latency.total,
        _count(c.inter_token_latency),
        _count(c.time_to_first_token),
        c.request_prefill_time.total,
        engine.started,
        *c.request_prompt_tokens.cumulative(),
        c.request_prompt_tokens.total,
        *c.request_generation_tokens.cumulative(),
        c.request_generation_tokens.total,
    ]


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes facts of rows; knows what the server's exposition says of its settings."""

    settings: SchedulerSettings
    key: EngineKey

    def sample(self, numbers: Sequence[float]) -> EngineSample:
        """What the parser makes of an exposition with these numbers."""
        edges = BucketCounts(token_edges(self.settings.max_model_len)).edges
        prompts = numbers[_SCALARS : _SCALARS + len(edges) + 1]
        outputs = numbers[_SCALARS + len(edges) + 1 :]
        (
            running, waiting, kv_usage_ratio, finished, prompt, cached, generation, preemptions, hits,
            steps, step_tokens, inter_seconds, inter_count, first_count, prefill_seconds, started,
        ) = (float(number) for number in numbers[:_SCALARS])  # fmt: skip
        return EngineSample(
            self.key,
            running=running,
            waiting=waiting,
            waiting_capacity=waiting,
            waiting_deferred=0.0,
            kv_usage_ratio=kv_usage_ratio,
            asleep=False,
            finished=finished,
            prompt_tokens=prompt,
            prompt_tokens_computed=prompt - cached,
            generation_tokens=generation,
            preemptions=preemptions,
            prefix_cache_hits=hits,
            steps=steps,
            step_tokens=step_tokens,
            inter_token_seconds_sum=inter_seconds,
            inter_token_count=inter_count,
            first_token_count=first_count,
            prefill_seconds_sum=prefill_seconds,
            request_prompt_tokens=_histogram(edges, prompts),
            request_generation_tokens=_histogram(edges, outputs),
            cache=CacheConfig(
                self.settings.block_size_tokens,
                self.settings.num_blocks,
                self.settings.num_blocks * self.settings.block_size_tokens,
                self.settings.enable_prefix_caching,
            ),
            created_at=EPOCH + started,
        )


def _count(buckets: BucketCounts) -> int:
    return sum(buckets.counts)


def _histogram(edges: tuple[float, ...], numbers: Sequence[float]) -> Histogram:
    *counts, total = (float(number) for number in numbers)
    return Histogram(edges, tuple(counts), total, counts[-1])
