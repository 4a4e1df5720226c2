"""Fuzzes pages of metrics on their way to the core and out again. Nothing may raise, and memory may not grow.

    python -m tests.fuzz.expositions --seconds 600

Two engines take turns: hypothesis changes the lines of a real server's pages, scrape after scrape; atheris (pip install
'kvwatch[fuzz]') mutates bytes towards code that has not run yet. Without atheris the first has all the time.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.core.fleet import Fleet
from kvwatch.core.options import CoreOptions
from kvwatch.export.exposition import Exposition
from kvwatch.facts import Scrape, Settings
from kvwatch.parse.exposition import ExpositionReader
from kvwatch.shell.intake import Intake
from kvwatch.shell.selfmetrics import SelfMetrics
from tests.core.test_robustness import check
from tests.fuzz.engines import Budget, command, drawn, guided

PAGES = Path(__file__).parents[1] / "data" / "scrapes"
NOW = 1_795_315_070.0
BATCH = 50
SERVER_LIVES = 500
"""Scrapes after which it is another server [scrapes]: one page too many would hide what the others do."""
LONGEST_PAGE = 64_000
"""Of those that are changed [bytes]: larger ones differ by more of the same."""
NUMBERS = (
    *("0", "-1", "1", "3", "NaN", "+Inf", "-Inf", "1e308", "-1e308", "5e-324", "1e18", "1.0000000000000002", "007"),
    *("0x10", "1_000", "١", "", " ", "1 2", "1e", "--1", "9" * 400, "1e-400", "1795315070.5", "4.2 1795315070000"),
)
LABELS = (
    *('engine="1"', 'engine=""', 'engine="0"', 'model_name="other"', 'le="+Inf"', 'le="0.1"', 'le="x"', "engine=0"),
    *('pod="a"', 'engine="0",engine="1"', 'x="\\\\"', 'x="\\n"', 'x="', "{", 'model_name="' + "y" * 5000 + '"'),
)
KINDS = ("number", "number", "number", "label", "unlabel", "drop", "twice", "swap", "junk")
"""What is done to a line."""
_NUMBER = re.compile(r"(?<=[} ])[^ }]+$")
_BRACE = re.compile(r"\}")
_LABEL = re.compile(r'[a-z_]+="[^"]*",?')


@cache
def pages() -> tuple[tuple[str, ...], ...]:
    """The lines of pages as servers of several versions write them."""
    small = sorted(path for path in PAGES.glob("*.prom") if path.stat().st_size <= LONGEST_PAGE)
    return tuple(tuple(path.read_text(encoding="utf-8").splitlines()) for path in small)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A page with a few lines changed, dropped, doubled or exchanged, and some bytes that are none of it."""
    lines = list(draw(st.sampled_from(pages())))
    series = [number for number, line in enumerate(lines) if line.startswith(("vllm:", "ray_vllm_", "sglang:"))]
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.sampled_from(series or [0]))
        match draw(st.sampled_from(KINDS)):
            case "number":
                number = draw(st.one_of(st.sampled_from(NUMBERS), st.floats().map(repr), st.integers().map(str)))
                lines[at] = _NUMBER.sub(lambda _, number=number: number, lines[at])
            case "label":
                label = draw(st.sampled_from(LABELS))
                lines[at] = _BRACE.sub(lambda _, label=label: f",{label}}}", lines[at], count=1)
            case "unlabel":
                lines[at] = _LABEL.sub("", lines[at], count=1)
            case "drop":
                lines[at] = ""
            case "twice":
                lines[at] += "\n" + _NUMBER.sub("5", lines[at])
            case "swap":
                other = draw(st.sampled_from(series or [0]))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines[at] = draw(st.text(max_size=40))
    body = "\n".join(lines).encode("utf-8", "replace") + draw(st.sampled_from([b"\n", b"", b"\r\n", b"\n# EOF\n"]))
    at, junk = draw(st.integers(0, len(body))), draw(st.binary(max_size=6))
    return body[:at] + junk + body[at:]


class Target:
    """A server whose pages are read by one reader and a real core, second after second."""

    def __init__(self) -> None:
        self._metrics = SelfMetrics()
        self._begin()

    def _begin(self) -> None:
        self._fleet = Fleet(CoreOptions())
        self._intake = Intake(self._fleet, self._metrics)
        self._intake.add("vllm", Settings(max_num_seqs=8, max_num_batched_tokens=2048))
        self._reader, self._whole = ExpositionReader(), ExpositionReader()
        self._now = NOW
        self._scrapes = 0

    def take(self, body: bytes) -> Scrape:
        """One scrape; raises where anything was wrong on the way."""
        if self._scrapes >= SERVER_LIVES:
            self._begin()
        self._scrapes += 1
        self._now += 1.0
        cuts = sorted({0, len(body) // 3, 2 * len(body) // 3, len(body)})
        for start, stop in pairwise(cuts):
            self._reader.feed(body[start:stop])
        scrape = self._reader.finish(self._now)
        whole = self._whole.read(body, self._now)
        assert repr(scrape) == repr(whole), "where the pieces end changes what is read"  # NaN is no NaN
        self._intake.observe("vllm", scrape)
        faults = [labels for labels, value in self._metrics.samples()["kvwatch_internal_errors_total"] if value]
        assert not faults, f"a fault of {faults} was caught"
        return scrape

    def view(self) -> None:
        """What the core makes of it all can be said, and is a page that others can read."""
        check(self._fleet, self._now)
        text = Exposition(lambda: self._intake.view(self._now)).text()[0].decode()
        for family in text_string_to_metric_families(text):
            assert family.name.startswith("kvwatch_")


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""
    target = Target()

    def attempt(bodies: list[bytes]) -> int:
        for body in bodies:
            target.take(body)
        target.view()
        return len(bodies)

    return drawn(seconds, st.lists(changed(), min_size=1, max_size=3), attempt, "pages", batch_size=BATCH)


def run_atheris(budget: Budget) -> None:
    """Coverage-guided, from the smallest pages."""
    target = Target()
    shortest = sorted(("\n".join(lines).encode() + b"\n" for lines in pages()), key=len)

    def one(body: bytes) -> None:
        target.take(body)
        target.view()

    guided(one, shortest[:8], ("kvwatch.parse.exposition",), budget)


if __name__ == "__main__":
    command("tests.fuzz.expositions", __doc__, run_hypothesis, run_atheris)
