"""Laws that hold for any bytes: splits, order and strangers do not matter, damage is survived."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvwatch.facts import Scrape
from kvwatch.parse.exposition import ExpositionReader

SCRAPES = Path(__file__).parents[2] / "data" / "scrapes"
SMALL = sorted(path for path in SCRAPES.glob("*.prom") if path.stat().st_size < 16_000)
BUSY = (SCRAPES / "0.32.0-busy.prom").read_bytes()

small_scrapes = st.sampled_from([path.read_bytes() for path in SMALL])
junk = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"{" * 500, b'"' * 501, b"\\" * 500, b"#" * 50, b"\n\r\n", b'vllm:num_requests_running{a="' + b"\\" * 99]
    ),
    st.text(alphabet='vllm:num_requests_running{}=,"\\ \t0123456789.eE+-NaInf#', max_size=120).map(str.encode),
)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _read(body: bytes) -> Scrape:
    return ExpositionReader().read(body, at=1.0)


def _lines(body: bytes) -> list[bytes]:
    return body.splitlines(keepends=True)


@quick
@given(body=small_scrapes, cuts=st.lists(st.floats(0, 1), max_size=30), damage=junk)
def test_any_split_of_the_bytes_gives_the_same_scrape(body: bytes, cuts: list[float], damage: bytes) -> None:
    """Where a chunk ends means nothing, in good bytes and in bad ones."""
    body = body[: len(body) // 3] + damage + body[len(body) // 3 :]
    places = [0, *sorted(int(cut * len(body)) for cut in cuts), len(body)]
    reader = ExpositionReader()
    for start, stop in pairwise(places):
        reader.feed(body[start:stop])
    assert reader.finish(at=1.0) == _read(body)


def test_byte_by_byte() -> None:
    """The smallest chunks there are, over a real scrape, twice with one reader."""
    reader = ExpositionReader()
    whole = _read(BUSY)
    for _ in range(2):
        for byte in BUSY:
            reader.feed(bytes((byte,)))
        assert reader.finish(at=1.0) == whole


@quick
@given(bodies=st.lists(st.one_of(small_scrapes, junk), min_size=1, max_size=6))
def test_what_a_reader_remembers_changes_nothing(bodies: list[bytes]) -> None:
    """A reader that has read other things before gives what a new one gives."""
    reader = ExpositionReader()
    for body in bodies:
        assert reader.read(body, at=1.0) == _read(body)


@quick
@given(
    body=st.one_of(small_scrapes, st.just(BUSY)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=40),
    keep=st.floats(0, 1),
    damage=junk,
    warm=st.booleans(),
)
def test_no_damage_raises(body: bytes, flips: list[tuple[float, int]], keep: float, damage: bytes, warm: bool) -> None:
    """Bytes overwritten, cut off or added give a scrape all the same, and the next good one is right."""
    reader = ExpositionReader()
    if warm:
        reader.read(body, at=1.0)
    damaged = bytearray(body)
    for place, byte in flips:
        damaged[int(place * len(damaged))] = byte
    reader.read(bytes(damaged[: int(keep * len(damaged))]) + damage, at=1.0)
    assert reader.read(body, at=1.0) == _read(body)


@quick
@given(body=st.binary(max_size=2000))
def test_any_bytes_are_survived(body: bytes) -> None:
    """Bytes that are no exposition show no engine."""
    assert _read(body).engines == ()


@settings(quick, max_examples=15)
@given(body=small_scrapes, order=st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(body: bytes, order: object) -> None:
    """Families, types and samples in any order give the same engines; the end mark stays last."""
    end = [line for line in _lines(body) if line.startswith(b"# EOF")]
    lines = [line for line in _lines(body) if not line.startswith(b"# EOF")]
    order.shuffle(lines)  # type: ignore[attr-defined]
    assert _read(b"".join(lines + end)) == _read(body)


@settings(quick, max_examples=15)
@given(body=small_scrapes, order=st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(body: bytes, order: object) -> None:
    """The same labels in another order are the same series."""

    def shuffled(match: re.Match[bytes]) -> bytes:
        labels = re.findall(rb'[^,{]+="[^"]*"', match[0])
        order.shuffle(labels)  # type: ignore[attr-defined]
        return b"{" + b",".join(labels) + b"}"

    again = re.sub(rb"\{[^}]*=[^}]*\}(?= [^#]*$)", shuffled, body, flags=re.MULTILINE)
    assert _read(again) == _read(body)


@quick
@given(
    body=small_scrapes,
    strangers=st.lists(
        st.tuples(
            st.text(alphabet="abcXYZ_:019", max_size=20),
            st.sampled_from(["", "{}", '{model_name="m"}', '{engine="7",model_name="m"}', '{a="', "{", "{]"]),
            st.sampled_from([" 1", " NaN", "", " x", " 1 2 3", '{a="b"} 1']),
        ),
        max_size=10,
    ),
)
def test_unknown_families_do_not_matter(body: bytes, strangers: list[tuple[str, str, str]]) -> None:
    """Families that are not read are never looked at, so even their bad lines are nobody's fault."""
    extra = "".join(f"# TYPE x_{name} gauge\nx_{name}{labels}{value}\n" for name, labels, value in strangers)
    assert _read(extra.encode() + body) == _read(body)


@quick
@given(
    model=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    engine=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
)
def test_any_label_value_survives_its_escapes(model: str, engine: str) -> None:
    """What a server escapes by the format's rules is read back as it was; a label without a value is none."""

    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    line = f'vllm:num_requests_running{{engine="{escaped(engine)}",model_name="{escaped(model)}"}} 3\n'
    scrape = _read(line.encode())
    assert scrape.bad_lines == 0
    assert [(e.key.model_name, e.key.engine, e.running) for e in scrape.engines] == [(model, engine, 3.0)]
