"""The results page of the congestion bench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

Row = dict[str, Any]
_PERIOD_RATIO, _HARM_RATIO = 0.10, 0.02

_HEAD = """# Service-induced congestion: what was predicted and what happened

Written by `python -m bench.congestion`; simulated on {date} ({commit}), the real server measured on {measured}.
Why requests that grow together are evicted together, and what to do about it:
[docs/congestion.md](../../docs/congestion.md).

"""


_EMBEDDED = """Each engine starts empty with an endless queue, so that all requests begin together, and evicts as vLLM
does: the last admitted first, its tokens kept and computed again. A wave is what the shipped detector calls one, after
14 mean lifetimes, over the 16 that follow.""".splitlines()

_DIFFERENCE = """Where theory and vLLM differ: in the paper an evicted request starts from scratch, and a cycle loses up
to half of the tokens. vLLM keeps the tokens and computes their memory again in one or two steps, so a cycle makes about
as many tokens a step as the equilibrium; what is lost is the time of the recomputation. And mixes that are stable still
evict, at random: what does not swing may lose as much as what does.""".splitlines()

_CLIENTS = """Kept full by 200 clients in a closed loop; a server of its own for each run, in turns. Latency includes
waiting. The machine is a shared one, whose own speed wanders between runs: the interval of the pairs says
how far.""".splitlines()


_CLASS_MIXES = """The forty are of all kinds; these are the first that a random source draws, two to six classes each.
They are harder: the classes' lives do not fit each other, and waves compete. Simulated and judged as above. What is
called no wave often swings with a clear period (crest: how much the batch resembles itself a period later), but by less
than 2.6 times what chance makes.""".splitlines()


def page(rows: list[Row], classes: list[Row], real: list[Row], made: Mapping[str, str]) -> str:
    """The whole page."""
    days = sorted({datetime.fromtimestamp(r["at"], UTC).date().isoformat() for r in real}) or ["no day yet"]
    head = _HEAD.format(**made, measured=" and ".join(days))
    parts = [*_summary(rows), "", *_classes(classes), "", *_real(real), "", *_table(rows), "", *_class_table(classes)]
    return head + "\n".join([*parts, ""])


def _confusion(rows: list[Row]) -> Iterator[str]:
    """Predictions against what the simulation did, and how many of those that are decided are right."""
    decided = [r for r in rows if r["verdict"] != "undecided"]
    right = [r for r in decided if r["waves"] == (r["verdict"] == "unstable")]
    cells = {
        (verdict, waves): sum(r["verdict"] == verdict and r["waves"] == waves for r in rows)
        for verdict in ("stable", "undecided", "unstable")
        for waves in (False, True)
    }
    yield "| predicted from the lengths alone | no wave | wave |"
    yield "|---|---|---|"
    for verdict, words in (
        ("stable", "stable: growth a lifetime below 0.8"),
        ("undecided", "undecided"),
        ("unstable", "unstable: above 1.25"),
    ):
        yield f"| {words} | {cells[verdict, False]} | {cells[verdict, True]} |"
    yield ""
    yield f"- Right in {len(right)} of {len(decided)} that are decided."
    wrong = [r["name"] for r in decided if r not in right]
    if wrong:
        yield f"  Wrong: {'; '.join(wrong)}."


def _classes(rows: list[Row]) -> Iterator[str]:
    yield f"## Embedded engine, {len(rows)} random mixes of classes"
    yield ""
    yield from _CLASS_MIXES
    yield ""
    yield from _confusion(rows)


def _summary(rows: list[Row]) -> Iterator[str]:
    waves = [r for r in rows if r["waves"] and r["verdict"] == "unstable"]
    on_time = [
        r for r in waves if r["predicted_period"] and abs(r["predicted_period"] / r["period"] - 1) <= _PERIOD_RATIO
    ]
    apart = max(abs(r["predicted_loss"] - r["loss"]) for r in rows)
    told = [r for r in rows if r["cap"] is not None]
    yield f"## Embedded engine, {len(rows)} mixes"
    yield ""
    yield from _EMBEDDED
    yield ""
    yield from _confusion(rows)
    yield f"- Period of the cycle within {_PERIOD_RATIO:.0%} in {len(on_time)} of {len(waves)} waves."
    late = [f"{r['name']} ({r['predicted_period']:.0f} for {r['period']:.0f})" for r in waves if r not in on_time]
    if late:
        yield f"  Not in: {'; '.join(late)}."
    yield f"- Throughput lost in the cycle, per second: at most {100 * apart:.1f} points off, over all mixes."
    if told:
        least = min(told, key=lambda r: r["gain"])
        yield (
            f"- A cap is recommended in {len(told)} mixes. In longer runs of their own it gains"
            f" {min(r['gain'] for r in told):+.1%} to {max(r['gain'] for r in told):+.1%},"
            f" {fmean(r['gain'] for r in told):+.1%} in the mean; the least in “{least['name']}”."
            f" (It must never lose more than {_HARM_RATIO:.0%}.)"
        )
    yield (
        f"- An admission watermark of 1% alone gains {min(r['watermark_gain'] for r in rows):+.1%} to"
        f" {max(r['watermark_gain'] for r in rows):+.1%}."
    )
    yield ""
    yield from _DIFFERENCE


def _real(real: list[Row]) -> Iterator[str]:
    yield "## Real vLLM 0.32 on two CPU cores"
    yield ""
    measured = [r for r in real if r["part"] == "measure"]
    if not measured:
        yield "Not measured yet: `python -m bench.congestion.real` on an idle machine."
        return
    yield from _CLIENTS
    for traffic in dict.fromkeys(r["traffic"] for r in measured):
        runs = [r for r in measured if r["traffic"] == traffic]
        yield ""
        yield f"### {'One length: prompt 64, output 192' if traffic == 'fixed' else 'Prompt 10–160, output 10–640'}"
        yield ""
        said = [r for r in real if r["part"] == "recommend" and r["traffic"] == traffic]
        if said and said[-1].get("recommended_max_num_seqs"):
            last = said[-1]
            yield (
                f"kvwatch, beside the server with its default seats: max_num_seqs"
                f" {last['recommended_max_num_seqs']:.0f},"
                f" gain {last['recommended_gain_ratio']:+.0%} (at least {last['recommended_gain_ratio_lower']:+.0%})."
            )
            yield ""
        yield "| seats | requests/s | preemptions | p50 s | p95 s | step ms | running |"
        yield "|---|---|---|---|---|---|---|"
        for r in runs:
            yield (
                f"| {r['seats']} | {r['requests_per_second']:.2f} | {r['preemptions']:.0f} | {r['p50_seconds']:.1f} |"
                f" {r['p95_seconds']:.1f} | {1000 * r['step_seconds']:.0f} |"
                f" {r['running']:.0f} ± {r['running_deviation']:.0f} |"
            )
        yield from _paired(runs)


def _paired(runs: list[Row]) -> Iterator[str]:
    """The gain of each run with the cap over the one with the default seats before it."""
    default = max(r["seats"] for r in runs)
    pairs = [
        (a, b) for a, b in zip(runs[::2], runs[1::2], strict=False) if a["seats"] == default and b["seats"] != default
    ]
    if not pairs:
        return
    gains = [b["requests_per_second"] / a["requests_per_second"] - 1 for a, b in pairs]
    spared = 1 - sum(b["preemptions"] for _, b in pairs) / max(sum(a["preemptions"] for a, _ in pairs), 1)
    step = fmean(b["step_seconds"] / a["step_seconds"] for a, b in pairs) - 1
    late = fmean(b["p95_seconds"] / a["p95_seconds"] for a, b in pairs) - 1
    yield ""
    words = f"Throughput {fmean(gains):+.1%}"
    if len(gains) > 1:
        half = float(student.ppf(0.95, len(gains) - 1)) * stdev(gains) / sqrt(len(gains))
        words += f" (90% interval of {len(gains)} pairs {fmean(gains) - half:+.1%} to {fmean(gains) + half:+.1%})"
    yield f"{words}, {spared:.0%} fewer preemptions, steps {step:+.0%}, p95 latency {late:+.0%}."


def _table(rows: list[Row]) -> Iterator[str]:
    yield "## Every mix"
    yield ""
    yield "| mix | growth a lifetime | wave | synchronised | period: predicted, seen | loss: predicted, seen |"
    yield "|---|---|---|---|---|---|"
    for r in rows:
        period = "–"
        if r["waves"]:
            period = (
                f"{r['predicted_period']:.0f}, {r['period']:.0f}" if r["predicted_period"] else f"–, {r['period']:.0f}"
            )
        yield (
            f"| {r['name']} | {r['growth']:.2f} {r['verdict']} | {'yes' if r['waves'] else 'no'} |"
            f" {r['synchronisation']:.2f} | {period} | {r['predicted_loss']:.1%}, {r['loss']:.1%} |"
        )
    yield ""
    yield "| mix | evictions a request | recommended cap | gain: predicted, in longer runs | gain by a watermark |"
    yield "|---|---|---|---|---|"
    for r in rows:
        cap = "none" if r["cap"] is None else str(r["cap"])
        gain = "–" if r["cap"] is None else f"{r['predicted_gain']:+.1%}, {r['gain']:+.1%}"
        yield f"| {r['name']} | {r['preemptions_per_finished']:.2f} | {cap} | {gain} | {r['watermark_gain']:+.1%} |"


def _class_table(rows: list[Row]) -> Iterator[str]:
    yield "| classes: (prompt, output) | growth a lifetime | wave | synchronised | crest, trough | period seen |"
    yield "|---|---|---|---|---|---|"
    for r in rows:
        seen = "– | –" if r["period"] is None else f"{r['crest']:.2f}, {r['trough']:.2f} | {r['period']:.0f}"
        yield (
            f"| {r['name']} | {r['growth']:.2f} {r['verdict']} | {'yes' if r['waves'] else 'no'} |"
            f" {r['synchronisation']:.2f} | {seen} |"
        )
