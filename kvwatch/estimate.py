"""An answer is one value: a number, its 90% interval, and whether it may be believed.

Each concept's module ends in the function that returns an :class:`Estimate`; views hold them as they are, and the rows
``_lower`` and ``_upper``, ``kvwatch_estimate_valid`` and the JSON are read from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Keyed = Mapping[str, float]
"""Numbers by the value of a label, such as a window or a tenant; a key that is missing is unknown."""
PAIRED = "/"
"""What stands between the values of two labels in one key."""


def pair(first: str, second: str) -> str:
    """The key of a number that two labels tell apart: both their values."""
    return f"{first}{PAIRED}{second}"


class Weight(StrEnum):
    """How far a number goes that has a doubt: the value is what it does, in words."""

    SURE = "pages and sizes"
    DOUBTED = "pages and sizes, with a wider interval or erring to the late side"
    SIZES = "sizes, does not page"
    ABSENT = "does neither: there is no number"
    ASIDE = "not about load"


class Reason(StrEnum):
    """Why an estimate is absent or not sure: the closed list, each with its weight and what it means in words.

    A doubt whose number stands may page where its interval still holds the truth, or where it errs to one side only,
    so that it pages late and never falsely. What other numbers refute has no number.
    """

    words: str
    weight: Weight

    def __new__(cls, name: str, weight: Weight, words: str) -> Reason:
        """A member whose value is its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.words = words
        member.weight = weight
        return member

    OK = "ok", Weight.SURE, ""
    WARMING_UP = "warming_up", Weight.ABSENT, "it has not been watched for as long as arrivals are counted over"
    RESTART = "restart", Weight.ABSENT, "the server or its counters restarted inside the window"
    ABORTS = (
        "aborts",
        Weight.ABSENT,
        "many requests vanished without finishing inside the window, so arrivals cannot be balanced",
    )
    ABORT_BIASED = (
        "abort_biased",
        Weight.DOUBTED,
        "clients abort requests; arrivals are counted by first tokens, a lower bound",
    )
    START_LOG_STOPPED = (
        "start_log_stopped",
        Weight.DOUBTED,
        "the log of request starts has stopped or lags; arrivals are balanced from the metrics",
    )
    START_LOG_INCOMPLETE = (
        "start_log_incomplete",
        Weight.DOUBTED,
        "the log of request starts misses some; arrivals are balanced from the metrics",
    )
    ASLEEP = "asleep", Weight.ABSENT, "the engine is in sleep mode"
    GENERATES_NOTHING = (
        "generates_nothing",
        Weight.ABSENT,
        "the engine generates no tokens (pooling or embeddings), which is outside what kvwatch covers",
    )
    METRIC_MISSING = (
        "metric_missing",
        Weight.ABSENT,
        "a metric that the estimate needs is not exported, is no number (NaN or infinite), or has not come for three "
        "scrape intervals",
    )
    METRIC_CONTRADICTED = (
        "metric_contradicted",
        Weight.ABSENT,
        "a metric that the estimate needs cannot be right, as two others that count the same contradict it",
    )
    COUNTERS_FALL = (
        "counters_fall",
        Weight.ABSENT,
        "the counters fall again and again: several servers answer under one address, or what rewrites the metrics "
        "shows differences (delta temporality) in place of running totals",
    )
    TOO_FEW_REQUESTS = "too_few_requests", Weight.ABSENT, "too few requests finished for a sure mean"
    NO_BUSY_INTERVALS = "no_busy_intervals", Weight.ABSENT, "the engine was never busy throughout a scrape interval"
    QUEUE_STANDS = (
        "queue_stands",
        Weight.ABSENT,
        "requests wait for capacity, and the engine serves none of them for minutes, or less than half of what it "
        "should: something else than load holds it up, or its settings are others than kvwatch knows",
    )
    CAPACITY_UNKNOWN = (
        "capacity_unknown",
        Weight.ABSENT,
        "the size of the KV cache is not exported, and too little is seen to work it out",
    )
    CAPACITY_REFUTED = (
        "capacity_refuted",
        Weight.ABSENT,
        "the size of the KV cache that the server shows cannot be: what runs in it is larger or smaller; "
        "too little is known to work out the true one",
    )
    CAPACITY_FROM_USAGE = (
        "capacity_from_usage",
        Weight.DOUBTED,
        "the size of the KV cache is not shown, or what runs in it refutes what is shown: it is worked out from "
        "the lengths of the requests and the share of memory that they use; where that share may be wrong instead, the "
        "interval of μ spans both",
    )
    KV_USAGE_OUT_OF_RANGE = (
        "kv_usage_out_of_range",
        Weight.ABSENT,
        "the server shows a share of KV memory in use that is below 0 or above 1",
    )
    HYBRID_KV = (
        "hybrid_kv",
        Weight.DOUBTED,
        "the KV cache has layers that do not hold one slot per token; M is an approximation",
    )
    SEATS_UNKNOWN = (
        "seats_unknown",
        Weight.DOUBTED,
        "nothing shows max_num_seqs and it may decide the rate: vLLM's default is assumed; set max_num_seqs for this"
        " target",
    )
    BUDGET_UNKNOWN = (
        "budget_unknown",
        Weight.DOUBTED,
        "nothing shows max_num_batched_tokens and it may decide the rate: vLLM's default is assumed; set it for this"
        " target",
    )
    DELTA_IS_BOUND = (
        "delta_is_bound",
        Weight.DOUBTED,
        "the largest request is known only as a bucket edge, so the stable limit is a lower bound",
    )
    DELTA_UNKNOWN = "delta_unknown", Weight.ABSENT, "no request has finished yet, so the largest is not known"
    OCCUPANCY_DISAGREES = (
        "occupancy_disagrees",
        Weight.SIZES,
        "memory-work by lengths and by occupancy differ by more than 15%, and by more than chance explains; from 50% on"
        " there is no number",
    )
    SPECULATIVE_DECODING = (
        "speculative_decoding",
        Weight.DOUBTED,
        "several tokens per step: lengths in tokens are not lengths in steps",
    )
    LAW_UNKNOWN = (
        "law_unknown",
        Weight.ABSENT,
        "too few busy scrape intervals so far to know how the step time grows with load",
    )
    EXTRAPOLATING = "extrapolating", Weight.SIZES, "full load means steps over four times as long as any seen yet"
    CACHE_HITS_FALL = (
        "cache_hits_fall",
        Weight.SIZES,
        "the prefix cache finds less the fuller memory is, so a full engine computes more than this one does",
    )
    MODEL_UNKNOWN = (
        "model_unknown",
        Weight.SIZES,
        "the model's name does not say whether it is a mixture of experts, nor does its step time yet: set experts",
    )
    PREFILL_INTERVAL = (
        "prefill_interval",
        Weight.DOUBTED,
        "prompts begin at every Nth step only (prefill_schedule_interval), which the model of a full engine does not "
        "follow; vLLM begins them at every step while more wait than it can compute",
    )
    OTHER_SCHEDULER = (
        "other_scheduler",
        Weight.SIZES,
        "the server is SGLang, whose scheduler is not the one that the model of a full engine follows",
    )
    LATENCY_PENDING = (
        "latency_pending",
        Weight.ABSENT,
        "how latency goes with the load has yet to be worked out, in the background",
    )
    NO_STEADY_STATE = (
        "no_steady_state",
        Weight.ABSENT,
        "so near to what the engine sustains, or above it, how long requests wait depends on how long that lasts",
    )
    SLO_UNREACHABLE = (
        "slo_unreachable",
        Weight.ABSENT,
        "even at a tenth of what the engine sustains the latency is longer than the target",
    )
    GAIN_UNSURE = (
        "gain_unsure",
        Weight.ASIDE,
        "a smaller max_num_seqs may serve more, but the step time under it is not known well enough",
    )
    SCRAPES_TOO_RARE = (
        "scrapes_too_rare",
        Weight.ASIDE,
        "the engine makes too many steps between two scrapes for a wave to be seen: scrape more often",
    )
    DEPENDS = "depends", Weight.ABSENT, "an estimate that this one needs is missing"

    @property
    def valid(self) -> bool:
        """Whether the estimate stands without a doubt."""
        return self is Reason.OK

    @property
    def pages(self) -> bool:
        """Whether an alert on load may rest on the number."""
        return self.weight in (Weight.SURE, Weight.DOUBTED)

    @property
    def sizes(self) -> bool:
        """Whether the number may decide how many replicas there are."""
        return self.pages or self.weight is Weight.SIZES


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 90% interval, and whether it may be believed.

    ``value`` is ``None`` where it is unknown, ``lower`` and ``upper`` where there is no interval. ``verdict`` is
    ``None`` where nobody has judged it, or the verdict of another estimate covers it.
    """

    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    verdict: Reason | None = None


@dataclass(frozen=True, slots=True)
class KeyedEstimate:
    """The same by the value of a label; what is unknown has no key.

    ``verdict`` is that of all together, ``verdicts`` those of single keys where each is an estimate of its own.
    """

    value: Keyed = field(default_factory=dict)
    lower: Keyed = field(default_factory=dict)
    upper: Keyed = field(default_factory=dict)
    verdict: Reason | None = None
    verdicts: Mapping[str, Reason] = field(default_factory=dict)

    @classmethod
    def of(cls, estimates: Mapping[str, Estimate], verdict: Reason | None = None) -> KeyedEstimate:
        """Several estimates as one: under one ``verdict``, or each under its own and all under the first bad one."""
        verdicts = {key: e.verdict for key, e in estimates.items() if e.verdict is not None} if verdict is None else {}
        return cls(
            value={key: e.value for key, e in estimates.items() if e.value is not None},
            lower={key: e.lower for key, e in estimates.items() if e.lower is not None},
            upper={key: e.upper for key, e in estimates.items() if e.upper is not None},
            verdict=next((v for v in verdicts.values() if not v.valid), Reason.OK) if verdict is None else verdict,
            verdicts=verdicts,
        )


UNKNOWN = Estimate()
"""Nothing is known, and nobody has asked."""
UNKNOWN_BY_KEY = KeyedEstimate()
"""The same where there are keys."""


@dataclass(frozen=True, slots=True)
class Validity:
    """A verdict as it is exported: 1 or 0, the reason, and the same in words."""

    valid: bool
    reason: str = "ok"
    words: str = ""


def validities(name: str, answer: Estimate | KeyedEstimate) -> dict[str, Validity]:
    """The entries of ``kvwatch_estimate_valid`` for one answer: its own, and one for each key with its own verdict."""
    if answer.verdict is None:
        return {}
    reason = answer.verdict
    verdicts = answer.verdicts if isinstance(answer, KeyedEstimate) else {}
    doubtful = [key for key, verdict in verdicts.items() if not verdict.valid]
    words = f"window {', '.join(doubtful)}: {reason.words}" if doubtful else reason.words
    entries = {name: Validity(reason.valid, reason.value, words)}
    for key, verdict in verdicts.items():
        entries[f"{name}_{key}"] = Validity(verdict.valid, verdict.value, verdict.words)
    return entries
