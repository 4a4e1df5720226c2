"""Whatever a configuration file holds, it is a configuration or faults that can be read; no traceback."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from tests.fuzz.configs import CHANGES, MARKS, changed, read, texts
from tests.fuzz.trees import Change, marked


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES)
def test_a_changed_file_is_read_or_refused(drawn: tuple[bool, list[Change]]) -> None:
    """Both files, with values of other types and sizes anywhere."""
    web, made = drawn
    read(changed(web, made), web=web)


def test_the_files_that_are_changed_are_good_ones() -> None:
    """Nothing is wrong with either."""
    assert read(texts()[False].encode(), web=False) == ()
    assert read(texts()[True].encode(), web=True) == ()


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("place", ["targets", "scrape.interval", "estimates.top_tenants"])
def test_no_value_is_taken_for_what_it_is_not(name: str, place: str) -> None:
    """Each in the place of a list, a duration and a number is one fault at least, with its key or its line."""
    document = yaml.safe_load(texts()[False])
    section, _, key = place.partition(".")
    owner, last = (document[section], key) if key else (document, section)
    owner[last] = f"@{name}@"
    found = read(marked(yaml.safe_dump(document), MARKS).encode(), web=False)
    assert found
    assert any(words.startswith((place, "line ", "more than", "nested", "a value cannot be read")) for words in found)
