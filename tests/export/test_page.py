"""The page for people: what it shows, that it is bounded, and that nothing from outside becomes markup."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

from kvwatch.estimate import UNKNOWN, Estimate, KeyedEstimate, Reason
from kvwatch.export.page import MOST_ADVICE, MOST_ENGINES, page
from kvwatch.views import EngineView, FleetView, TargetView
from tests.export.full_view import fleet, full_engine

ADVICE = (
    "0.31 evictions for each finished request cost about 9% of the throughput.",
    "Set --max-num-seqs 64 (now 256): about +16% throughput at full load.",
)


class Reader(HTMLParser):
    """Text and tags; raises AssertionError where tags are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        """All text, apart from tags."""
        return " ".join(self.words)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must close the one that is open."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what is read."""
        if self._open and self._open[-1] != "style":
            self.words.append(data)


def advised(**known: str) -> EngineView:
    """An engine with something to set."""
    return replace(
        full_engine(**known),
        recommended_max_num_seqs=Estimate(64.0),
        recommended_gain_ratio=Estimate(0.16),
        advice=ADVICE,
    )


def shown(*engines: EngineView) -> Reader:
    """What a reader sees of a fleet with these engines."""
    return Reader(page(fleet(*engines), "1.2.3"))


def test_an_engine_is_shown_with_its_load() -> None:
    """ρ with its interval, λ, μ, what binds, and what is doubted, in the words of the view."""
    engine = replace(
        full_engine(),
        utilization=KeyedEstimate(
            {"1m": 0.87, "5m": 0.8}, {"1m": 0.81, "5m": 0.7}, {"1m": 0.93, "5m": 0.9}, Reason.ABORTS
        ),
        arrival_rate=KeyedEstimate({"1m": 3.4, "5m": 3.0}),
        service_rate=Estimate(3.9, 3.7, 4.2),
        queue_length=7.0,
    )
    text = shown(engine).text
    for words in (
        "localhost:8000", "llama", "0.87 (0.81–0.93)", "3.4", "3.9/s (3.7–4.2)", "KV memory", "7", "many requests",
    ):  # fmt: skip
        assert words in text


def test_advice_is_shown_with_the_recommended_number() -> None:
    """In the words of the API, under the engine's name, and the number in the table as well."""
    text = shown(advised()).text
    for sentence in ADVICE:
        assert sentence in text
    assert "Engine 0 of llama on localhost:8000: max_num_seqs 64 (+16% throughput)" in text
    assert text.count("64 (+16% throughput)") == 2


def test_nothing_is_said_where_there_is_no_advice() -> None:
    """No heading without something below it."""
    assert "What to set" not in shown(replace(full_engine(), recommended_max_num_seqs=UNKNOWN)).text


def test_what_is_unknown_is_a_dash() -> None:
    """Neither None nor nan is shown, and an engine of which nothing is known comes last."""
    broken = replace(
        full_engine(engine="7"), service_rate=Estimate(math.nan), queue_length=math.inf, recommended_gain_ratio=UNKNOWN
    )
    text = shown(EngineView("a:1", "m", "unheard"), broken).text
    assert "None" not in text
    assert "nan" not in text
    assert "inf" not in text
    assert "–" in text
    assert text.index("unheard") > text.index("localhost:8000")


def test_a_target_that_does_not_answer_is_named_with_its_problem() -> None:
    """As in the API."""
    assert "localhost:8001: connection: refused" in shown().text
    assert "No engine has been read yet." in shown().text


def test_nothing_from_outside_becomes_markup() -> None:
    """Names come from servers that may be anyone's; a page must show them and not run them."""
    evil = '<script>alert("1")</script>\'&amp;<td>'
    view = FleetView(
        1_750_000_000.0,
        (
            TargetView(
                evil, True, 0.1, 0.1, (replace(advised(target=evil, model_name=evil, engine=evil), advice=(evil,)),)
            ),
            TargetView(evil, False, None, None, (), evil),
        ),
    )
    found = Reader(page(view, "1.2.3"))
    tame = Reader(page(view, "1.2.3").replace(escape(evil), "tame"))
    assert found.tags == tame.tags
    assert "script" not in found.tags
    assert found.text.count(evil) == 9  # three in the table, three in the heading, an advice, a target and its problem


def test_a_large_fleet_makes_a_page_of_bounded_size() -> None:
    """A thousand engines, or ten thousand with names of a megabyte in all: the fullest and how many more there are."""
    few = page(fleet(*(advised(engine=f"{n}") for n in range(MOST_ENGINES))), "1.2.3")
    many = page(fleet(*(advised(engine=f"{n}") for n in range(1000))), "1.2.3")
    assert len(many) < len(few) + 1000
    assert "And 900 more engines: " in Reader(many).text
    assert f"And {1000 - MOST_ADVICE} more engines with advice: " in Reader(many).text
    long = [advised(target="<" * 1000, model_name="&" * 1000, engine=f"{n}") for n in range(1000)]
    assert len(page(fleet(*long), "1.2.3")) < 500_000
    down = tuple(TargetView(f"{n}:1", False, None, None, (), "no" * 1000) for n in range(1000))
    assert len(page(FleetView(0.0, down), "1.2.3")) < 50_000


def test_the_fullest_engines_are_those_that_are_shown() -> None:
    """Of many, by ρ."""
    engines = [
        replace(
            full_engine(engine=f"e{n}"),
            utilization=KeyedEstimate(*[{"1m": n / 1000}] * 3),
            arrival_rate=KeyedEstimate({"1m": 1.0}),
        )
        for n in range(1000)
    ]
    words = shown(*engines).words
    assert [word for word in words if word.startswith("e") and word[1:].isdigit()] == [
        f"e{n}" for n in range(999, 899, -1)
    ]
