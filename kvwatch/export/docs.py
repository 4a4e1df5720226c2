"""The page ``docs/metrics.md``, generated from the catalogue so that it cannot drift from it."""

from __future__ import annotations

from collections.abc import Iterable

from kvwatch.estimate import Reason, Weight
from kvwatch.export.catalog import ENGINE_METRICS, TARGET_METRICS, VALIDITY
from kvwatch.export.catalog_model import MODEL_METRICS
from kvwatch.export.catalog_self import SCRAPE_RESULTS, SELF_METRICS
from kvwatch.export.catalog_settings import SETTING_METRICS
from kvwatch.export.metric import Metric

_HEAD = """\
# Metrics

Generated from `kvwatch/export/catalog.py`; `python -m kvwatch.cli.docs docs` writes it again.

Everything that kvwatch exports on `/metrics`. Labels: `model_name` and `engine` exactly as vLLM spells them, and
`target`, the `host:port` of the server (or the `name` given in the configuration). What is not known has no series;
it is never 0 and never a placeholder. Intervals (`_lower`, `_upper`) are 90% intervals. An engine whose last good
scrape is older than three scrape intervals has no estimates at all, rather than old ones.

A metric's column *valid* names the entry of `kvwatch_estimate_valid{estimate="…"}` that says whether to believe it.
In `/api/v1/engines` and in `kvwatch replay --format json` the same numbers stand under their names without `kvwatch_`.

Beside these, the process's own `process_*` metrics are exported as by any Prometheus client.
"""
_NAMES = """\
## Names

Before 1.0 the names are settled as follows; those here stay.

- **States and choices.** `kvwatch_engine_state` and the metrics that end in `_state` are StateSets: 1 for what is, 0
  for each other, so that `== 0` and `changes()` work. `kvwatch_binding_limit`, `kvwatch_demand_selected` and
  `kvwatch_arrival_selected` have a series for what is chosen only, for a join that keeps its label; they stay beside
  them.
- **Validity.** `kvwatch_estimate_valid` has its reason in a label, so the series changes with the reason. For a series
  that lasts: `max without (reason) (kvwatch_estimate_valid)`.
- **Ratios.** `kvwatch_utilization`, `_stable_limit` and `_stability_margin` are ratios by definition and have no
  suffix, as ρ, 1 − δ and their difference have none; every other ratio ends in `_ratio`, or in what it is a
  share of.
- **Rates.** Those of requests are in requests/s and have no suffix; `_token_rate` is in tokens/s. What ends in `_slope`
  is per second once more. Times are in seconds, and end so.
"""
_ENGINES = """\
One series for each engine of each target. Engines of targets that have a role, `prefill` or `decode`, have the label
`role` too, as has their `kvwatch_estimate_valid`."""

_DOES = {True: "yes", False: "no"}
_HELD = """\
A doubt that pages either widens the interval, or lets the number err to the late side. Where a reason does not size,
there is no number: `kvwatch_replicas_required` keeps its last valid value for ten minutes and then goes. The alert
`KvwatchReplicasUnknown` says so ten minutes later, with the value; `KvwatchEstimateInvalid` names engine and reason.
How each number comes to be doubted is in [estimates.md](estimates.md#validity)."""


def metrics_page() -> str:
    """The whole page as Markdown."""
    parts = [
        _HEAD,
        _NAMES,
        _section("Engines", _ENGINES, ENGINE_METRICS),
        _section("Models", "Over all fresh engines that serve a model.", MODEL_METRICS),
        _section("Validity", "One series for each estimate of each engine.", (VALIDITY,)),
        _reasons(),
        _section("Settings", "vLLM's own settings, as the estimates of each engine use them.", SETTING_METRICS),
        _section("Targets", "The health of what is watched.", TARGET_METRICS),
        _section("kvwatch itself", "The health of the watcher.", SELF_METRICS),
        _words("`result` of `kvwatch_scrapes_total` is one of:", SCRAPE_RESULTS.items()),
    ]
    return "\n".join(parts)


def _reasons() -> str:
    """Each reason with what it means, and whether a number that has it may page and size a fleet."""
    lines = [
        "`reason` is one of these. A number that has a doubt may still page, or decide how many replicas there are:",
        "",
        "| reason | means | pages | sizes a fleet |",
        "|---|---|---|---|",
    ]
    for reason in Reason:
        pages, sizes = (_DOES[reason.pages], _DOES[reason.sizes]) if reason.weight is not Weight.ASIDE else ("", "")
        lines.append(f"| `{reason.value}` | {reason.words or 'the estimate stands'} | {pages} | {sizes} |")
    return "\n".join([*lines, "", _HELD, ""])


def _section(title: str, words: str, metrics: Iterable[Metric]) -> str:
    lines = [
        f"## {title}",
        "",
        words,
        "",
        "| metric | type | unit | meaning | valid | since |",
        "|---|---|---|---|---|---|",
    ]
    for metric in metrics:
        cells = (
            f"`{metric.name}{_labels(metric)}`",
            metric.kind.value,
            "" if metric.unit == "1" else metric.unit,
            metric.help.replace("|", "\\|"),
            f"`{metric.estimate}`" if metric.estimate else "",
            metric.since,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _labels(metric: Metric) -> str:
    if not metric.extra_labels:
        return ""
    first, *rest = metric.extra_labels
    values = "\\|".join(metric.values) if metric.values and len(metric.values) <= 3 else ""
    shown = [f'{first}="{values}"' if values else first, *rest]
    return "{" + ",".join(shown) + "}"


def _words(head: str, pairs: Iterable[tuple[str, str]]) -> str:
    lines = [f"- `{name}`: {words or 'the estimate stands'}" for name, words in pairs]
    return "\n".join([head, "", *lines, ""])
