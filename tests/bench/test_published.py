"""No figure outlives its code: README, docs and results pages say what the committed results say."""

from __future__ import annotations

import pytest

from bench.publish.__main__ import ROOT, out_of_date, texts
from bench.publish.figures import FIGURES
from bench.publish.marks import filled, names


def test_texts_pages_and_pictures_are_what_would_be_written_now() -> None:
    """``python -m bench.publish`` mends it."""
    assert [str(path.relative_to(ROOT)) for path, _ in out_of_date()] == []


def test_every_figure_stands_somewhere() -> None:
    """One that no text has any more goes with its code."""
    assert {name for path in texts() for name in names(path.read_text(encoding="utf-8"))} == set(FIGURES)


def test_a_figure_is_written_into_its_sentence_and_a_table_onto_lines_of_its_own() -> None:
    """What stood between the marks goes, and the marks stay."""
    figures = {"share": lambda: "92%", "table": lambda: "| a |\n|---|"}
    text = "Covers <!--=share-->9%<!--/--> of them.\n\n<!--=table-->old<!--/-->\n"
    expected = "Covers <!--=share-->92%<!--/--> of them.\n\n<!--=table-->\n| a |\n|---|\n<!--/-->\n"
    assert filled(text, figures) == expected
    assert filled(expected, figures) == expected


@pytest.mark.parametrize(
    "text", ["a <!--=share-->9% of them", "a 9%<!--/--> of them", "<!--=share-->9%<!--/--> of them"]
)
def test_a_mark_that_would_be_lost_is_refused(text: str) -> None:
    """One without its end, an end without its mark, and one that would make its line HTML."""
    with pytest.raises(ValueError, match=r"mark|HTML"):
        filled(text, {"share": lambda: "92%"})


def test_a_name_that_no_figure_has_is_refused() -> None:
    """A misspelt name must not leave an old figure standing."""
    with pytest.raises(KeyError, match="shore"):
        filled("a <!--=shore-->9%<!--/-->", {"share": lambda: "92%"})
