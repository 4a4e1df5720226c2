"""Files of other tools, read as the recordings that they could have been."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kvwatch.cli.main import main
from kvwatch.facts import Scrape, ScrapeFailed
from kvwatch.shell.recordings.replay import Recording, RecordingError, one_recording, recordings_of, replay
from tests.prometheus_server import scraped
from tests.shell.conftest import DATA

RAMP = DATA / "recordings" / "ramp11"
URL = "http://vllm-0:8000/metrics"
LABELS = {"job": "vllm", "instance": "vllm-0:8000", "namespace": "prod"}
Rows = Iterator[dict[str, Any]]


def records() -> Iterator[tuple[int, dict[str, list[dict[str, Any]]]]]:
    """Time [ns] and metrics of each page as AIPerf has them: families by prometheus-client, a histogram as one."""
    for at, text in Recording(RAMP, pytest.fail).texts():
        metrics: dict[str, list[dict[str, Any]]] = {}
        for family in text_string_to_metric_families(text.decode()):
            if family.name.endswith("_created"):
                continue
            found: dict[str, dict[str, Any]] = {}
            for name, given, value, *_ in family.samples:
                labels = {k: v for k, v in given.items() if k != "le"}
                one = found.setdefault(json.dumps(labels), {"labels": labels})
                if family.type != "histogram":
                    one["value"] = value
                elif name.endswith("_bucket"):
                    one.setdefault("buckets", {})[given["le"]] = value
                elif not name.endswith("_created"):
                    one[name.rpartition("_")[2]] = value
            metrics[family.name] = list(found.values())
        yield round(at * 1e9), metrics


def aiperf_lines(path: Path) -> Path:
    """``server_metrics_export.jsonl``, with another server that is no vLLM between."""
    with path.open("w") as file:
        for at, metrics in records():
            file.write(json.dumps({"endpoint_url": URL, "timestamp_ns": at, "metrics": metrics}) + "\n")
    return path


def aiperf_rows(path: Path) -> Path:
    """``server_metrics_export.parquet``: what counters and histograms rose by since the first page."""
    first: dict[str, float] = {}

    def since(key: str, value: float) -> float:
        return value - first.setdefault(key, value)

    def rows() -> Rows:
        for at, metrics in records():
            for name, found in metrics.items():
                for one in found:
                    fixed = {"endpoint_url": URL, "metric_name": name, "timestamp_ns": at, **one["labels"]}
                    key = f"{name}{one['labels']}"
                    if "value" in one:
                        counts = name.split(":")[-1] in {"num_preemptions", "generation_tokens", "prompt_tokens"}
                        counts |= name.startswith("vllm:request_success")
                        yield {**fixed, "value": since(key, one["value"]) if counts else one["value"]}
                        continue
                    both = {"sum": since(f"{key}s", one["sum"]), "count": since(f"{key}c", one["count"])}
                    for edge, reached in one["buckets"].items():
                        yield {**fixed, **both, "bucket_le": edge, "bucket_count": since(key + edge, reached)}

    made = list(rows())
    columns = dict.fromkeys(("metric_type", "unit", "description", "value", "sum", "count", "bucket_le"))
    columns |= dict.fromkeys(key for row in made for key in row)
    pq.write_table(pa.table({name: [row.get(name) for row in made] for name in columns}), path)
    return path


def openmetrics(path: Path) -> Path:
    """What promtool makes blocks of: each sample with its time, and one of another job."""
    lines = list(scraped(RAMP, LABELS))
    path.write_text("\n".join(["# HELP up x", *lines, f'up{{job="node"}} 0 {lines[0].rpartition(" ")[2]}', "# EOF\n"]))
    return path


def scrapes(path: Path) -> list[Scrape]:
    """What is read of the one server of a file."""
    (recording,) = recordings_of(path, pytest.fail)
    assert recording.name == "vllm-0:8000"
    return [scrape for scrape in recording.scrapes() if isinstance(scrape, Scrape)]


def known(scrape: Scrape) -> object:
    """All that a page says but when its counters began, which AIPerf leaves out."""
    return tuple(replace(engine, created_at=None) for engine in scrape.engines)


@pytest.mark.long
@pytest.mark.parametrize("made", [aiperf_lines, openmetrics])
def test_a_file_has_the_scrapes_that_it_was_made_of(made: Callable[[Path], Path], tmp_path: Path) -> None:
    """Each at its time, with its numbers; what else was scraped is no server of ours."""
    found = scrapes(made(tmp_path / "file"))
    originals = [s for s in Recording(RAMP, pytest.fail).scrapes() if isinstance(s, Scrape)]
    assert len(found) > 300
    for scrape in found:
        nearest = min(originals, key=lambda one: abs(one.at - scrape.at))
        assert nearest.at == pytest.approx(scrape.at, abs=0.001)
        assert known(scrape) == known(nearest)


@pytest.mark.long
def test_rows_that_begin_at_nothing_lead_to_the_same_estimates(tmp_path: Path) -> None:
    """Counters as they rose since the first page: λ, μ and the queue are those of the lines."""
    theirs = list(replay(*recordings_of(aiperf_lines(tmp_path / "lines"), pytest.fail)))
    ours = {round(v.at, 3): v for v in replay(*recordings_of(aiperf_rows(tmp_path / "file"), pytest.fail))}
    compared = 0
    for view in theirs[::10]:
        other = ours.get(round(view.at, 3))
        if other is None or not view.targets[0].engines or not other.targets[0].engines:
            continue
        one, two = view.targets[0].engines[0], other.targets[0].engines[0]
        assert two.arrival_rate.value == pytest.approx(one.arrival_rate.value)
        assert two.queue_length == one.queue_length
        if one.service_rate.value is not None:
            assert two.service_rate.value == pytest.approx(one.service_rate.value, rel=0.01)
            compared += 1
    assert compared > 15


@pytest.mark.prometheus
def test_what_promtool_dumps_is_read(tmp_path: Path) -> None:
    """Series after series, with times in milliseconds: the same scrapes as of the text that it was made of."""
    text, data = openmetrics(tmp_path / "in.txt"), tmp_path / "data"
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, timeout=120,
                   capture_output=True)  # fmt: skip
    (data / "wal").mkdir()
    with (tmp_path / "dump").open("wb") as file:
        subprocess.run(["promtool", "tsdb", "dump", data], check=True, stdout=file, timeout=120)
    first, second = scrapes(text), scrapes(tmp_path / "dump")
    assert [(round(s.at, 3), s.engines) for s in first] == [(round(s.at, 3), s.engines) for s in second]


def test_a_server_that_did_not_answer_is_a_scrape_that_failed(tmp_path: Path) -> None:
    """As far as ``up`` is among the samples."""
    name = 'vllm:num_requests_running{model_name="m",instance="a"}'
    lines = [
        f"{name} 1 100",
        'up{instance="a"} 1 100',
        'up{instance="a"} 0 115',
        f"{name} 2 130",
        'up{instance="a"} 1 130',
    ]
    (tmp_path / "f").write_text("\n".join(lines))
    (recording,) = recordings_of(tmp_path / "f", pytest.fail)
    assert [type(scrape) for scrape in recording.scrapes()] == [Scrape, ScrapeFailed, Scrape]


def test_servers_of_a_file_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By their instances; replay asks which one, backtest takes all."""
    lines = [
        f'vllm:num_requests_running{{model_name="m",instance="{one}"}} 1 {at}' for one in "ab" for at in (100, 115)
    ]
    (tmp_path / "f").write_text("\n".join(lines))
    assert [recording.name for recording in recordings_of(tmp_path / "f", pytest.fail)] == ["a", "b"]
    assert main(["replay", str(tmp_path / "f")]) == 1
    assert "holds a, b: name one of them" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "f"), "--server", "b", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["engines"][0]["target"] == "b"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello\n", "is no recording: known are folders of kvwatch record"),
        (b"PAR1nonsense", "is damaged"),
        (b'node_load1{instance="a"} 1 100\n', "holds no metric of a vLLM"),
    ],
)
def test_what_is_no_recording_is_said(content: bytes, why: str, tmp_path: Path) -> None:
    """With what would be one."""
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(RecordingError, match=why):
        one_recording(tmp_path / "f", pytest.fail, None)


@pytest.mark.long
def test_lines_that_are_none_are_reported_and_skipped(tmp_path: Path) -> None:
    """The rest is read."""
    path = aiperf_lines(tmp_path / "f")
    lines = path.read_text().splitlines()[:20]
    path.write_text("\n".join([*lines[:10], "{", '{"a": 1}', *lines[10:]]))
    told: list[str] = []
    (recording,) = recordings_of(path, told.append)
    assert len(list(recording.scrapes())) == 20
    assert set(told) == {"f:11: not_json; skipped", "f:12: not_a_record; skipped"}


@pytest.mark.long
def test_a_backtest_of_such_a_file_says_what_it_says_of_the_recording(tmp_path: Path) -> None:
    """The same queues, the same pages; the user's rules see all that the file has."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: [{name: g, rules: [{alert: Waiting, expr: 'vllm:num_requests_waiting > 10'}]}]")
    documents = []
    for path in (RAMP, openmetrics(tmp_path / "file")):
        output = tmp_path / "report.json"
        settings = ("--max-num-seqs", "256", "--max-num-batched-tokens", "512", "--max-model-len", "4096")
        files = ("--rules", rules, "--output", output, "--checkpoint", tmp_path / f"work-{path.name}")
        asked = ("backtest", "--recording", path, "--queue-for", "30s", "--processes", "1", *files, *settings)
        assert main([*map(str, asked)]) == 0
        documents.append(json.loads(output.read_text()))
    one, two = documents
    assert [(i["start"], i["peak_waiting"]) for i in one["incidents"]] == [
        (i["start"], i["peak_waiting"]) for i in two["incidents"]
    ]
    assert [[page["start"] for page in side["paged"]] for side in one["sides"]] == [
        [page["start"] for page in side["paged"]] for side in two["sides"]
    ]
