"""The values are those that the reference parser gives for the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from kvwatch.facts import EngineSample
from kvwatch.parse.exposition import vllm
from kvwatch.parse.exposition.names import is_read, owned
from kvwatch.parse.exposition.reader import ExpositionReader
from kvwatch.parse.exposition.samples import SampleReader

Key = tuple[str, frozenset[tuple[str, str]]]

CLASSIC = ["0.8.5-v0", "0.13.0", "ray-two-replicas", "0.32.0-idle", "0.32.0-busy", "0.32.0-dp2", "0.32.0-multi-api"]


def _ours(body: bytes) -> dict[Key, float]:
    reader = SampleReader(is_read)
    reader.feed(body)
    samples = reader.finish()
    assert samples.bad_lines == 0
    return {
        (series.name, frozenset(series.labels.items())): value
        for series, value in zip(samples.series, samples.values, strict=True)
    }


def _theirs(text: str, parse: Callable[..., object] = parse_classic) -> dict[Key, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in parse(text)  # type: ignore[attr-defined]
        for sample in family.samples
        if is_read(sample.name.encode())
    }


@pytest.mark.parametrize("name", CLASSIC)
def test_stored_scrapes_agree(name: str, scrape_bytes: Callable[[str], bytes]) -> None:
    """Every wanted series of a stored scrape, its labels and its value."""
    body = scrape_bytes(name)
    ours = _ours(body)
    assert len(ours) > 30
    assert ours == _theirs(body.decode())


def test_openmetrics_agrees(scrape_bytes: Callable[[str], bytes]) -> None:
    """The same for OpenMetrics, exemplars and all."""
    body = scrape_bytes("rust-frontend")
    assert _ours(body) == _theirs(body.decode(), parse_openmetrics)


def test_a_recording_agrees(recorded_texts: list[str]) -> None:
    """One reader over a real run, from memory after the first scrape."""
    reader = SampleReader(is_read)
    assert len(recorded_texts) > 15
    for text in recorded_texts:
        reader.feed(text.encode())
        samples = reader.finish()
        ours = {
            (series.name, frozenset(series.labels.items())): value
            for series, value in zip(samples.series, samples.values, strict=True)
        }
        assert ours == _theirs(text)


def test_every_field_of_a_recording_is_the_sum_of_its_series(recorded_texts: list[str]) -> None:
    """From the reference parser's samples to our fields by the table alone, without our way of combining."""
    reader = ExpositionReader()
    for text in recorded_texts:
        theirs = _theirs(text)
        (engine,) = reader.read(text.encode(), at=0.0).engines
        checked = 0
        for row in vllm.ROWS:
            expected = None
            for sample in row.samples:
                found = [
                    value
                    for (name, labels), value in theirs.items()
                    if _bare(name) == sample.name
                    and (not sample.label or any((sample.label, value) in labels for value in sample.values))
                ]
                if found:
                    expected = math.fsum(found)
                    break
            assert getattr(engine, row.field) == expected
            checked += expected is not None
        assert checked > 14


def test_the_table_names_fields_that_exist() -> None:
    """A row for a field that is not there would fail at the first scrape that has it."""
    names = {field.name for field in fields(EngineSample)}
    assert {row.field for row in vllm.ROWS} <= names
    assert vllm.VLLM.histograms.keys() <= names


def _bare(name: str) -> str:
    found = owned(name)
    return found.bare if found is not None else name
