"""The JSON of one engine → what a person wants to know first, in numbers; ``sentences`` has the words.

Read from the document of ``/api/v1/engines`` and not from a view, so that the page, the terminal and whoever asks
another kvwatch over HTTP say the same of the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from kvwatch.core.engine_state import SEVERITY, EngineState, is_no_accident
from kvwatch.core.signs import limit_to_go_by
from kvwatch.estimate import Reason
from kvwatch.export.setting_words import corrections, setting_doubts

Document = Mapping[str, Any]

SHORT_LIMIT_WORDS = {"kv": "KV memory", "seqs": "seats", "tokens": "token budget"}
"""What binds, in a word or two."""
SLO_WORDS = {"wait": "waiting time", "ttft": "first-token", "itl": "inter-token"}
"""What a latency target is about, in a word or two."""
_BECAUSE = {
    "kv": "KV cache memory runs out first.",
    "seqs": "Seats (max_num_seqs) run out first.",
    "tokens": "The token budget of a step (max_num_batched_tokens) runs out first.",
}
FULL_STATES = (EngineState.APPROACHING, EngineState.SATURATED, EngineState.OVERLOADED, EngineState.STANDING)
"""States in which the engine has no room, or soon has none."""
_NO_DOUBTS = frozenset({Reason.DEPENDS, Reason.DELTA_IS_BOUND})
"""Reasons that cast no doubt on what a summary says: one follows from others, and a limit that is only a bound is not
used (:func:`limit_in`)."""
_COMMAND = re.compile(r"(?:Restart it with|Set) (--max-num-seqs \d+)")
_WINDOW = re.compile(r"arrival_rate_(\d+(?:\.\d+)?)(s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_DOUBTS = 6
_SLOW_QUANTILE = "0.95"
"""The latency that a summary gives: what the slow ones of the users feel."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One engine at one moment. Rates in requests/s, times in seconds, loads as ratios; ``None`` is unknown.

    Attributes:
        key: Names the engine in a URL: ``target=…&model_name=…&engine=…``.
        load: ρ over the shortest window, with ``load_lower`` and ``load_upper``.
        limit: ρ at which the engine is full.
        room: What may arrive beyond λ until the limit; below 0 what is too much.
        binds: The limit that binds, in a word or two, and ``because`` in a sentence.
        seconds_to_rate: Until λ's shortest window is full, while λ is not known yet.
        arrival_rate_slope: λ's trend where it rises and is no accident [requests/s²].
        seconds_to_limit: Until λ meets the limit on that trend.
        drain_seconds: Until the queue is empty.
        standing_seconds: How long requests have waited that the engine should have served.
        replicas_required: Of the engine's model, and ``replicas``: those that it has.
        replicas_added: How many of them each reason adds to what the load itself needs.
        model_load: ρ of the model as a whole.
        beyond_scope: Whether ρ can never be known, for what the engine does is outside what kvwatch covers.
        why: Why ρ is not known, or not sure.
        slo: The latency target that allows least (``ttft``, ``wait``, ``itl``), and ``slo_rate`` how much.
        seats: The ``max_num_seqs`` that serves most, ``gain`` the throughput it adds as a ratio.
        corrections: Settings that somebody gives wrong, each in a few words.
    """

    key: str
    target: str
    model_name: str
    engine: str
    state: EngineState
    load: float | None = None
    load_lower: float | None = None
    load_upper: float | None = None
    limit: float = 1.0
    arrival_rate: float | None = None
    arrival_rate_slope: float | None = None
    service_rate: float | None = None
    service_rate_lower: float | None = None
    service_rate_upper: float | None = None
    binds: str | None = None
    because: str | None = None
    running: float | None = None
    waiting: float | None = None
    queue_slope: float | None = None
    kv_usage: float | None = None
    seconds_to_rate: float | None = None
    seconds_to_limit: float | None = None
    drain_seconds: float | None = None
    standing_seconds: float | None = None
    loss: float | None = None
    ttft_seconds: float | None = None
    itl_seconds: float | None = None
    replicas_required: float | None = None
    replicas: float | None = None
    replicas_added: Mapping[str, float] = field(default_factory=dict)
    model_load: float | None = None
    slo: str | None = None
    slo_rate: float | None = None
    seats: float | None = None
    gain: float | None = None
    advice: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    why: str | None = None
    beyond_scope: bool = False
    corrections: tuple[str, ...] = ()

    @property
    def room(self) -> float | None:
        """Requests/s that may arrive beyond those that do."""
        if self.service_rate is None or self.arrival_rate is None:
            return None
        return self.limit * self.service_rate - self.arrival_rate

    @property
    def closeness(self) -> tuple[int, float]:
        """Sorts by what needs somebody first when reversed: the state, then the share of the limit that is used."""
        return SEVERITY.index(self.state), (self.load or 0.0) / self.limit

    @property
    def command(self) -> str | None:
        """The flag of vLLM that the advice names, to be copied."""
        found = (_COMMAND.search(sentence) for sentence in self.advice)
        return next((match.group(1) for match in found if match), None)


def summarize(engine: Document, model: Document | None = None) -> Summary:
    """The summary of one of the documents under ``engines`` and its model's; what is not there is unknown."""
    window = next(iter(engine.get("utilization", {})), None) or next(iter(engine.get("arrival_rate", {})), None)
    verdicts: Mapping[str, Document] = engine.get("estimate_valid", {})
    latency = engine.get("observed_latency_seconds", {})
    slo_rates: Mapping[str, float] = engine.get("slo_service_rate", {})
    binds = next((limit for limit, value in engine.get("binding_limit", {}).items() if value), None)
    state, slope = state_in(engine), _rise(engine)
    return Summary(
        key=engine_key(engine),
        target=engine["target"],
        model_name=engine["model_name"],
        engine=engine["engine"],
        state=state,
        load=engine.get("utilization", {}).get(window),
        load_lower=engine.get("utilization_lower", {}).get(window),
        load_upper=engine.get("utilization_upper", {}).get(window),
        limit=limit_in(engine),
        arrival_rate=engine.get("arrival_rate", {}).get(window),
        arrival_rate_slope=slope,
        service_rate=engine.get("service_rate"),
        service_rate_lower=engine.get("service_rate_lower"),
        service_rate_upper=engine.get("service_rate_upper"),
        binds=SHORT_LIMIT_WORDS.get(binds, binds) if binds is not None else None,
        because=_because(engine, state, binds),
        running=engine.get("running_requests"),
        waiting=engine.get("queue_length"),
        queue_slope=engine.get("queue_slope"),
        kv_usage=engine.get("kv_usage_ratio"),
        seconds_to_rate=_seconds_to_rate(engine, verdicts) if window is None else None,
        seconds_to_limit=engine.get("time_to_saturation_seconds") if slope is not None else None,
        drain_seconds=engine.get("backlog_drain_seconds"),
        standing_seconds=engine.get("queue_standing_seconds"),
        loss=engine.get("congestion_loss_ratio"),
        ttft_seconds=latency.get("ttft", {}).get(_SLOW_QUANTILE),
        itl_seconds=latency.get("itl", {}).get(_SLOW_QUANTILE),
        replicas_required=engine.get("replicas_required"),
        replicas=(model or {}).get("replicas"),
        replicas_added=(model or {}).get("replicas_added", {}),
        model_load=(model or {}).get("model_utilization"),
        slo=min(slo_rates, key=slo_rates.__getitem__, default=None),
        slo_rate=min(slo_rates.values(), default=None),
        seats=engine.get("recommended_max_num_seqs"),
        gain=engine.get("recommended_gain_ratio"),
        advice=tuple(engine.get("advice", ())),
        corrections=tuple(corrections(engine.get("settings", {}))),
        doubts=(*setting_doubts(engine.get("settings", {})), *_doubts(verdicts))[:_MOST_DOUBTS],
        why=str(verdicts.get("utilization", {}).get("words") or "") or None,
        beyond_scope=verdicts.get("utilization", {}).get("reason") == Reason.GENERATES_NOTHING,
    )


def _because(engine: Document, state: EngineState, binds: str | None) -> str | None:
    """What runs out first, where the engine is full or soon is: not where something else than load holds it up."""
    if binds is None or state not in FULL_STATES or engine.get("queue_standing_seconds") is not None:
        return None
    return _BECAUSE.get(binds)


def engine_key(engine: Document) -> str:
    """An engine's labels as the query of a URL."""
    return urlencode({label: engine[label] for label in ("target", "model_name", "engine")})


def state_in(engine: Document) -> EngineState:
    """The state that a document says; unknown where it is of a kvwatch that does not say any."""
    states: Mapping[str, float] = engine.get("engine_state", {})
    name = next((state for state, value in states.items() if value), None)
    return EngineState(name) if name in set(EngineState) else EngineState.UNKNOWN


def limit_in(engine: Document) -> float:
    """ρ at which the engine is full, as its state goes by: a limit that is only a bound counts as 1."""
    valid = engine.get("estimate_valid", {}).get("stable_limit", {}).get("valid", 1)
    limit = engine.get("stable_limit")
    return limit_to_go_by(limit if valid else None)


def _rise(engine: Document) -> float | None:
    """The trend of λ where it rises and is no accident [requests/s²]."""
    slope, lower = engine.get("arrival_rate_slope"), engine.get("arrival_rate_slope_lower")
    return slope if slope is not None and lower is not None and is_no_accident(slope, lower) else None


def _seconds_to_rate(engine: Document, verdicts: Mapping[str, Document]) -> float | None:
    """Time until the shortest of λ's windows has been seen [s]; the windows are told by the names of their verdicts."""
    windows = [float(m.group(1)) * _UNITS[m.group(2)] for name in verdicts if (m := _WINDOW.fullmatch(name))]
    age = engine.get("engine_age_seconds")
    return max(min(windows) - age, 0.0) if windows and age is not None else None


def _doubts(verdicts: Mapping[str, Document]) -> tuple[str, ...]:
    """Why numbers are missing or weak, each reason once, in the fewest words that a verdict has for it."""
    found: dict[str, str] = {}
    for name, verdict in verdicts.items():
        reason = str(verdict.get("reason"))
        if not verdict.get("valid", 1) and reason not in _NO_DOUBTS and not name.startswith("arrival_rate_"):
            words = str(verdict.get("words") or reason)
            found[reason] = min(found.get(reason, words), words, key=len)
    return tuple(found.values())
