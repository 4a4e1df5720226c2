"""What becomes of a server's page on its way to kvwatch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial

from kvwatch.parse.exposition.vllm import VLLM

Change = Callable[[str, str, float], str]
"""From a page, the last one before the fault, and a number between 0 and 1 that is drawn anew at each scrape."""


class Whole(Enum):
    """What happens to more than a page."""

    KILLED = auto()
    """The server ends, answers nothing, and begins again with counters at 0."""
    STOPPED = auto()
    """kvwatch makes no scrapes, and makes up for none."""
    RESTARTED = auto()
    """kvwatch is killed, and begins again with what it saved up to a minute ago."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name: what becomes of pages, why scrapes fail, or what becomes of a process.

    ``hides`` are the estimates that nothing may be shown of once it has lasted for so many scrape ``intervals``: three,
    and five of what is frozen (docs/faults.md).
    """

    name: str
    change: Change | None = None
    failure: str = ""
    whole: Whole | None = None
    hides: tuple[str, ...] = ()
    intervals: float = 3.0


ALL = ("arrival_rate", "service_rate", "utilization")
LOAD = ("arrival_rate", "utilization")
FAILURES = ("timeout", "connection", "dns", "tls", "status", "redirect", "unauthorized", "too_large", "protocol")
"""Reasons for which scrapes fail, with nothing of the page."""
_LOAD_METRICS = ("num_requests_running", "num_requests_waiting", "request_success")
"""Without any of them nobody knows how many requests arrive."""
_GAUGES = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
_NAMES = sorted(
    {re.sub(r"_(sum|count|total)$", "", sample.name) for row in VLLM.rows for sample in row.samples}
    | set(VLLM.histograms.values())
)
VALUES: Mapping[str, str] = {"NaN": "NaN", "infinite": "+Inf", "negative": "-3", "absurd": "1e308", "0": "0"}


def _lines(name: str) -> re.Pattern[str]:
    """The lines of a family: what comes before the number, and the number."""
    return re.compile(rf"(?m)^(vllm:{name}(?:_total|_bucket|_sum|_count)?(?:\{{[^}}]*\}})?) (\S+)\n")


def _gone(name: str, page: str, _before: str, _chance: float) -> str:
    return _lines(name).sub("", page)


def _valued(name: str, value: str, page: str, _before: str, _chance: float) -> str:
    return _lines(name).sub(rf"\1 {value}\n", page)


def _frozen(name: str, page: str, before: str, _chance: float) -> str:
    old = dict(_lines(name).findall(before))
    return _lines(name).sub(lambda found: f"{found[1]} {old.get(found[1], found[2])}\n", page)


def _twice(page: str, _before: str, _chance: float) -> str:
    return re.sub(r"(?m)^(vllm:num_requests_running)\{([^,}]*),([^}]*)\} .*\n", r"\g<0>\1{\3,\2} 9000\n", page)


def _cut(page: str, _before: str, chance: float) -> str:
    """Ended within a line, by something that calls the rest whole."""
    return page[: int(len(page) * chance)]


def _torn(page: str, before: str, chance: float) -> str:
    """The first lines of now and the others of before: a cache that is written while it is read."""
    new, old = page.splitlines(keepends=True), before.splitlines(keepends=True)
    at = int(len(new) * chance)
    return "".join(new[:at] + old[at:])


def _made_up(page: str, _before: str, chance: float) -> str:
    """Engines beside the real one, each time others."""
    gauges = "".join(
        f'vllm:{gauge}{{engine="{engine}",model_name="made-up-{chance}"}} 5\n' for gauge in _GAUGES for engine in "012"
    )
    return page + gauges


def _junk(page: str, _before: str, chance: float) -> str:
    at = int(len(page) * chance)
    return page[:at] + '\x00�{"\n\n}{=,,\\' + page[at:]


_FROZEN_PAGE = "the page of before"
PAGES: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "an empty page": (lambda *_: "", ALL),
    "another program's page": (
        lambda *_: "# TYPE go_goroutines gauge\ngo_goroutines 7\nprocess_start_time_seconds 1\n",
        ALL,
    ),
    "a page of HTML": (lambda *_: "<html>\n<p>hello\n</html>\n", ALL),
    _FROZEN_PAGE: (lambda _page, before, _chance: before, ALL),
    "a page that is cut": (_cut, ()),
    "a page of now and before": (_torn, ()),
    "a series shown twice": (_twice, LOAD),
    "made-up engines": (_made_up, ()),
    "junk in the page": (_junk, ()),
    "other line ends": (lambda page, *_: page.replace("\n", "\r\n"), ()),
    "a label of 100,000 characters": (
        lambda page, *_: page.replace('engine="0"', f'engine="0",x="{"y" * 100_000}"'),
        (),
    ),
    "help and types shown twice": (lambda page, *_: re.sub(r"(?m)^# .*\n", r"\g<0>\g<0>", page), ()),
    "time stamps": (lambda page, *_: re.sub(r"(?m)^(vllm:.*)$", r"\1 1395066363000", page), ()),
    "time stamps that are none": (lambda page, *_: re.sub(r"(?m)^(vllm:.*)$", r"\1 NaN", page), ()),
    "all counters at 0": (
        lambda page, *_: re.sub(r"(?m)^(vllm:\w+(?:_total|_bucket|_sum|_count)\{[^}]*\}) .*$", r"\1 0", page),
        (),
    ),
}
"""What becomes of whole pages, and what may not be shown of it."""


def catalogue() -> list[Fault]:
    """All faults."""
    found = [Fault(f"scrapes fail ({reason})", failure=reason, hides=ALL) for reason in FAILURES]
    found += [Fault(f"{kind.name.lower()}", whole=kind) for kind in Whole]
    for name, (change, hides) in PAGES.items():
        found.append(Fault(name, change=change, hides=hides, intervals=5.0 if name == _FROZEN_PAGE else 3.0))
    for name in _NAMES:
        hides = LOAD if name in _LOAD_METRICS else ()
        found.append(Fault(f"{name} gone", change=partial(_gone, name), hides=hides))
        found.append(Fault(f"{name} frozen", change=partial(_frozen, name)))
        for words, value in VALUES.items():
            found.append(Fault(f"{name} {words}", change=partial(_valued, name, value)))
    return found
