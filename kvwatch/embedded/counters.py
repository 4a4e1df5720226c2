"""vLLM's metrics of one engine: what moves when.

Gauges show the state after the latest step. Counters and histograms move only in steps with output: a step of
unfinished prefill chunks is silent. A request's whole prompt is credited when its first token comes; a preemption
when its victim's next token comes; what is computed again after it, nowhere. A request that its client drops
leaves no trace in the metrics of finished requests.

Source: vLLM 0.32, v1/metrics/stats.py and loggers.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvwatch.embedded import histogram
from kvwatch.embedded.histogram import BucketCounts

if TYPE_CHECKING:
    from kvwatch.embedded.request import Request
    from kvwatch.embedded.scheduler import Scheduler


class Counters:
    """All that one engine exports; times in seconds, the rest in tokens or requests."""

    def __init__(self, max_model_len: int) -> None:
        self.running = self.waiting = 0
        self.kv_usage_ratio = 0.0
        self.prefix_cache_queries = self.prefix_cache_hits = 0
        self.preemptions = 0
        self.prompt_tokens = self.prompt_tokens_cached = 0
        self.generation_tokens = 0
        self.finished = 0
        self._last_step_end = 0.0
        tokens, seconds = histogram.token_edges(max_model_len), histogram.REQUEST_SECONDS
        self.request_prompt_tokens = BucketCounts(tokens)
        self.request_generation_tokens = BucketCounts(tokens)
        self.iteration_tokens = BucketCounts(histogram.ITERATION_TOKENS)
        self.request_max_num_generation_tokens = BucketCounts(tokens)
        self.request_params_n = BucketCounts(histogram.REQUEST_COPIES)
        self.request_params_max_tokens = BucketCounts(tokens)
        self.time_to_first_token = BucketCounts(histogram.FIRST_TOKEN_SECONDS)
        self.inter_token_latency = BucketCounts(histogram.INTER_TOKEN_SECONDS)
        self.request_time_per_output_token = BucketCounts(histogram.INTER_TOKEN_SECONDS)
        self.e2e_request_latency = BucketCounts(seconds)
        self.request_queue_time = BucketCounts(seconds)
        self.request_inference_time = BucketCounts(seconds)
        self.request_prefill_time = BucketCounts(seconds)
        self.request_decode_time = BucketCounts(seconds)
        self.request_num_preemptions = BucketCounts(histogram.PREEMPTIONS)
        self.request_prefill_kv_computed_tokens = BucketCounts(tokens)

    def read_gauges(self, scheduler: Scheduler) -> None:
        """Take the gauges from the scheduler as it is between two steps."""
        self.running = len(scheduler.running)
        self.waiting = len(scheduler.waiting)
        self.kv_usage_ratio = 1.0 - scheduler.blocks.free / scheduler.settings.usable_blocks

    def begin_step(self, scheduler: Scheduler, start: float) -> None:
        """Note what the requests need to remember from a step that starts at ``start``."""
        for request in scheduler.admitted:
            if request.first_scheduled is None:
                request.first_scheduled = start
        for request in scheduler.preempted:
            request.unreported_preemptions += 1
            if request.last_token < request.decoding_since:
                request.last_token = self._last_step_end

    def end_step(self, scheduler: Scheduler, end: float) -> None:
        """Count a step that ended at ``end``."""
        self.read_gauges(scheduler)
        if scheduler.settings.enable_prefix_caching:
            for request in scheduler.admitted:
                if not request.preemptions:
                    self.prefix_cache_queries += request.prompt_tokens
                    self.prefix_cache_hits += request.first_cached_tokens or 0
        outputs = scheduler.decoding + len(scheduler.prefilled)
        if outputs:
            if scheduler.decoding:
                self.inter_token_latency.observe(end - self._last_step_end, scheduler.decoding)
            computed = 0
            for request in scheduler.prefilled:
                computed += self._output_after_prefill(request, end)
            self.generation_tokens += outputs
            self.iteration_tokens.observe(computed + outputs)
            for request in scheduler.finished:
                self._finish(request, end)
        self._last_step_end = end

    def _output_after_prefill(self, request: Request, end: float) -> int:
        """Count the token that ends a prefill; return the prompt tokens credited as computed."""
        self.preemptions += request.unreported_preemptions
        request.unreported_preemptions = 0
        request.decoding_since = end
        if request.first_token is not None:
            self.inter_token_latency.observe(end - request.last_token)
            return 0
        request.first_token = end
        self.time_to_first_token.observe(end - request.arrival)
        cached = request.first_cached_tokens or 0
        self.prompt_tokens += request.prompt_tokens
        self.prompt_tokens_cached += cached
        return request.prompt_tokens - cached

    def _finish(self, request: Request, end: float) -> None:
        """Count a request whose last token came at ``end``."""
        scheduled = end if request.first_scheduled is None else request.first_scheduled
        first = end if request.first_token is None else request.first_token
        output = request.output_tokens
        self.finished += 1
        self.request_prompt_tokens.observe(request.prompt_tokens)
        self.request_generation_tokens.observe(output)
        self.request_max_num_generation_tokens.observe(output)
        self.request_params_n.observe(1)
        self.request_params_max_tokens.observe(output)
        self.request_time_per_output_token.observe((end - first) / (output - 1) if output > 1 else 0.0)
        self.e2e_request_latency.observe(end - request.arrival)
        self.request_queue_time.observe(scheduled - request.queued)
        self.request_inference_time.observe(end - scheduled)
        self.request_prefill_time.observe(first - scheduled)
        self.request_decode_time.observe(end - first)
        self.request_num_preemptions.observe(request.preemptions)
        self.request_prefill_kv_computed_tokens.observe(request.prompt_tokens - (request.first_cached_tokens or 0))
