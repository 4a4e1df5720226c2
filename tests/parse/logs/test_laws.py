"""What holds of every log, however hostile: nothing raises, and what is found does not depend on how it is cut."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvwatch.parse.logs import LogReader
from tests.fuzz.lines import LOCAL, PLAIN, WRAPPERS, Target, formats, logs


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(logs(), st.binary(max_size=200)), min_size=1, max_size=3))
def test_no_bytes_raise_or_reach_the_core_as_nonsense(contents: list[bytes]) -> None:
    """By every format, one chunk after the other."""
    target = Target()
    for content in contents:
        target.take(content)
    target.view()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.builds(lambda wrap, line: wrap(line), WRAPPERS, PLAIN), max_size=6), st.data())
def test_where_chunks_are_cut_makes_no_difference(lines: list[str], data: st.DataObject) -> None:
    """All lines at once, or each for itself, or resumed anywhere with what was unfinished."""
    encoded = [line.encode() + b"\n" for line in lines]
    cut = data.draw(st.integers(0, len(encoded)))
    for log_format in formats():
        whole = LogReader(log_format).read(b"".join(encoded), LOCAL)
        single = LogReader(log_format)
        one_by_one = [single.read(line, LOCAL) for line in encoded]
        assert [fact for reading in one_by_one for fact in reading.facts] == whole.facts
        before = b"".join(encoded[:cut])
        first = LogReader(log_format).read(before, LOCAL)
        resumed = LogReader(log_format)
        resumed.prime(before[len(before) - first.unfinished_bytes :])
        second = resumed.read(b"".join(encoded[cut:]), LOCAL)
        if log_format.name != "vllm":  # settings of one start come together from several lines
            assert first.facts + second.facts == whole.facts
