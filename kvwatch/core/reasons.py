"""Why an estimate is not to be believed, or is absent: the closed list, and what each means in words."""

from __future__ import annotations

from types import MappingProxyType

from kvwatch.views import Validity

WORDS = MappingProxyType(
    {
        "ok": "",
        "warming_up": "the window is not yet full",
        "restart": "the server or its counters restarted inside the window",
        "aborts": "many requests vanished without finishing inside the window, so arrivals cannot be balanced",
        "abort_biased": "clients abort requests; arrivals are counted by first tokens, a lower bound",
        "start_log_stopped": "the log of request starts has stopped or lags; arrivals are balanced from the metrics",
        "start_log_incomplete": "the log of request starts misses some; arrivals are balanced from the metrics",
        "asleep": "the engine is in sleep mode",
        "metric_missing": "this vLLM does not export a metric that the estimate needs",
        "too_few_requests": "too few requests finished for a sure mean",
        "no_busy_intervals": "the engine was never busy throughout a scrape interval",
        "capacity_unknown": "the size of the KV cache is not exported",
        "hybrid_kv": "the KV cache has layers that do not hold one slot per token; M is an approximation",
        "seats_unknown": "max_num_seqs is not known, so the rate is an upper bound: set max_num_seqs for this target",
        "budget_unknown": "max_num_batched_tokens is not known, so its limit is not checked: set it for this target",
        "delta_is_bound": "the largest request is known only as a bucket edge, so the stable limit is a lower bound",
        "delta_unknown": "no request has finished yet, so the largest is not known",
        "occupancy_disagrees": "memory-work by lengths and by occupancy differ by more than 15%",
        "speculative_decoding": "several tokens per step: lengths in tokens are not lengths in steps",
        "law_unknown": "too few busy scrape intervals so far to know how the step time grows with load",
        "extrapolating": "full load means steps over four times as long as any seen yet",
        "gain_unsure": "a smaller max_num_seqs may serve more, but the step time under it is not known well enough",
        "scrapes_too_rare": "the engine makes so many steps between two scrapes that a wave would not be seen",
        "depends": "an estimate that this one needs is missing",
    }
)


def ok() -> Validity:
    """The estimate stands."""
    return Validity(valid=True)


def because(reason: str) -> Validity:
    """The estimate is absent or not to be relied on. Raises KeyError for a reason outside the closed list."""
    return Validity(valid=False, reason=reason, words=WORDS[reason])
