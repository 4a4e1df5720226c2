"""PromQL that both dashboards share, for any selection of engines.

Load and arrivals are those of the last minute, as on kvwatch's page and in the alerts; where no window of a minute is
configured, those over the longest window that is full: the stable limit minus the margin. Metrics of one engine share
all labels, those that Prometheus adds included, so that they match without naming any.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.numbers import LOWEST_LIMIT, SHORT_WINDOW
from dashboards import states
from dashboards.style import LIMIT_WORDS

NOT_IN_SIGHT = 1_000_000_000
"""Stands for a saturation that the present trend does not lead to, seconds; panels map it to words."""
SOON = 1
"""Stands for a limit that is close while only a bound of it is known, seconds."""
DAY_SECONDS = 86_400
SMOOTHING = "3m"
"""Long against what a trend's significance flickers by, short against the time that a new replica takes."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Queries about the engines that the label matchers ``where`` select; one series each unless said otherwise."""

    where: str

    def metric(self, name: str, *matchers: str) -> str:
        """A metric of these engines."""
        return f"{name}{{{','.join((self.where, *matchers))}}}"

    @property
    def known(self) -> str:
        """Every engine that kvwatch has fresh samples of."""
        return self.metric("kvwatch_running_requests")

    @property
    def limit(self) -> str:
        """1 − δ where the largest request is known, but at least 0.85; where only a bound is, 1: as in the alerts."""
        sure = self.metric("kvwatch_estimate_valid", 'estimate="stable_limit"')
        limit = self.metric("kvwatch_stable_limit")
        known = f"{limit} and ignoring (estimate, reason) {sure} == 1"
        return f"(clamp_min({known}, {LOWEST_LIMIT}) or {self.known} >= bool 0)"

    @property
    def load(self) -> str:
        """ρ over the last minute, else as the margin has it; of an idle engine, which may have no limit yet, 0."""
        limit, margin = self.metric("kvwatch_stable_limit"), self.metric("kvwatch_stability_margin")
        longest = f"{limit} - {margin} or max without (window) ({self.metric('kvwatch_utilization')})"
        return f"({self._last_minute('kvwatch_utilization')} or {longest})"

    @property
    def load_of_limit(self) -> str:
        """ρ over the limit: 1 is the limit."""
        return f"{self.load} / {self.limit}"

    @property
    def arrivals(self) -> str:
        """λ over the same window, requests/s."""
        limit, margin = self.metric("kvwatch_stable_limit"), self.metric("kvwatch_stability_margin")
        rate = self.metric("kvwatch_service_rate")
        longest = f"({limit} - {margin}) * {rate} or max without (window) ({self.metric('kvwatch_arrival_rate')})"
        return f"({self._last_minute('kvwatch_arrival_rate')} or {longest})"

    def _last_minute(self, name: str) -> str:
        return f"max without (window) ({self.metric(name, f'window={quoted(SHORT_WINDOW)}')})"

    @property
    def state(self) -> str:
        """The code of the engine's state, see :mod:`dashboards.states`."""
        of_each = (
            f"{self.metric('kvwatch_engine_state', f'state={quoted(state.label)}')} * {state.code}"
            for state in states.STATES
        )
        return "max without (state) (\n" + "\nor ".join(of_each) + "\n)"

    @property
    def drain(self) -> str:
        """Seconds until the queue is empty; there while it empties."""
        return self.metric("kvwatch_backlog_drain_seconds")

    def latency(self, name: str, quantile: float) -> str:
        """A quantile of one of vLLM's own histograms over the engines of the same model and number, s."""
        labels = self.where.split(",target=")[0]
        buckets = f'vllm:{name}_bucket{{{labels},engine="$engine"}}'
        return f"histogram_quantile({quantile}, sum by (le) (rate({buckets}[$__rate_interval])))"

    @property
    def binding(self) -> str:
        """1, 2 or 3 for the limit that binds, in the order of :data:`dashboards.style.LIMIT_WORDS`."""
        limits = (
            f"{self.metric('kvwatch_binding_limit', f'limit={quoted(limit)}')} * {code}"
            for code, limit in enumerate(LIMIT_WORDS, 1)
        )
        return f"max without (limit) ({' or '.join(limits)})"

    @property
    def predicted(self) -> str:
        """Seconds to the limit by kvwatch, the mean of the last minutes; absent unless sure for a fifth of them.

        A trend is sure at one moment and not at the next. The quantile keeps a real one on the screen and a chance
        one off it.
        """
        time = self.metric("kvwatch_time_to_saturation_seconds")
        filled = f"({time} + 0 or {self.known} * 0 + {NOT_IN_SIGHT})[{SMOOTHING}:10s]"
        return f"(avg_over_time({time}[{SMOOTHING}]) and quantile_over_time(0.2, {filled}) < {DAY_SECONDS})"

    @property
    def saturation(self) -> str:
        """Seconds until the limit is reached on the present trend: 0 at the limit, or :data:`SOON`, or far."""
        used = self.load_of_limit
        return (
            f"(({used} >= 1) * 0 or clamp_min({self.predicted} < {DAY_SECONDS}, {SOON}) or {used} * 0 + {NOT_IN_SIGHT})"
        )

    def by_model(self, how: str, expression: str) -> str:
        """An aggregation over the engines of each model, in each role where prefill and decode are apart."""
        return f"{how} by (model_name, role) ({expression})"

    @property
    def replicas(self) -> str:
        """Servers that are in sight, by model and role; sidecars all call theirs localhost."""
        servers = f"count by (model_name, role, job, instance, target) ({self.known})"
        return self.by_model("count", servers)

    @property
    def replicas_required(self) -> str:
        """The number of replicas, by model and role: the rules', or that of the only kvwatch that sees the model."""
        own = self.metric("kvwatch_replicas_required")
        return (
            f"(\n{self.by_model('max', self.metric('model:kvwatch_replicas_required:hold5m'))}\n"
            f"or {self.by_model('max', own)} and {self.by_model('count', own)} == 1\n)"
        )


def quoted(value: str) -> str:
    """A label value in quotes."""
    return f'"{value}"'
