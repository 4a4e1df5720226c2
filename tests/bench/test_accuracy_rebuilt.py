"""Recordings rebuilt from traces of real GPUs are scored from a folder that is no part of the project."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bench.accuracy.rebuilt import FULL, score_rebuilt
from bench.accuracy.recordings import FOLDER


def _folder(folder: Path, prompt_tokens: float, output_tokens: float) -> Path:
    """The first two minutes of a recording under load, with requests of other lengths."""
    with gzip.open(FOLDER / "seqcap" / "scrapes.jsonl.gz", "rt") as lines:
        scrapes = [json.loads(line) for line in lines]
    since = json.loads((FOLDER / "seqcap" / "truth.json").read_text())["phases"][1]["start"]
    kept = [s for s in scrapes if since <= s["t"] <= since + 60]
    with gzip.open(folder / "scrapes.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(s) + "\n" for s in kept)
    requests = [
        {"arrival": since + i, "finish": since + i + 1, "status": 200,
         "prompt_tokens": prompt_tokens, "completion_tokens": output_tokens}
        for i in range(1, 60)
    ]  # fmt: skip
    (folder / "requests.jsonl").write_text("".join(json.dumps(r) + "\n" for r in requests))
    (folder / "settings.json").write_text((FOLDER / "seqcap" / "settings.json").read_text())
    (folder / "marks.json").write_text(json.dumps([{"start": since, "end": since + 60}]))
    return folder


def test_the_truth_is_that_of_the_traffic_measured_full(tmp_path: Path) -> None:
    """A second's request of the lengths that were measured full is that share of the full rate."""
    measured = FULL[0]
    (outcome,) = score_rebuilt(_folder(tmp_path, measured.prompt_tokens * 1.02, measured.output_tokens))
    assert outcome.truth == measured.rate
    assert outcome.load == pytest.approx(1 / measured.rate, rel=0.05)
    assert outcome.rate is not None


def test_traffic_that_nobody_measured_is_refused(tmp_path: Path) -> None:
    """Its true rate is unknown, and a guess would be a figure that no one could check."""
    with pytest.raises(ValueError, match="no engine was measured full"):
        list(score_rebuilt(_folder(tmp_path, 300, 300)))


def test_an_engine_that_is_kept_full_is_held_against_what_it_then_served(tmp_path: Path) -> None:
    """Tokens generated while requests wait over the mean length of all outputs: those that finish first are short."""
    rows = [(0, 0, 0, 0, 0)]
    rows += [(t, 20, 10, 300 * t, 2 * t) for t in range(1, 61)]  # short outputs finish first
    rows += [(t, 0, 0, 18_000 + 100 * (t - 60), 120 + 2 * (t - 60)) for t in range(61, 91)]
    _write(tmp_path, rows)
    outcomes = list(score_rebuilt(tmp_path))
    assert [o.requests for o in outcomes] == [32, 62, 92, 120]
    for outcome in outcomes:
        assert outcome.kind == "sat"
        assert outcome.truth == pytest.approx(300 / (21_000 / 180))


def test_an_engine_of_which_requests_never_finish_is_refused(tmp_path: Path) -> None:
    """Their lengths are not known, and those that finished are the short ones."""
    _write(tmp_path, [(t, 20, 10, 300 * t, 2 * t) for t in range(60)])
    with pytest.raises(ValueError, match="all of its requests finishing"):
        list(score_rebuilt(tmp_path))


def _write(folder: Path, rows: list[tuple[int, int, int, int, int]]) -> None:
    """Scrapes of a time [s], how many run and wait, and of tokens generated and requests finished so far."""
    labels = '{model_name="m",engine="0"}'
    with gzip.open(folder / "scrapes.jsonl.gz", "wt") as file:
        for at, running, waiting, tokens, finished in rows:
            shown = {
                "num_requests_running": running,
                "num_requests_waiting": waiting,
                "kv_cache_usage_perc": 0.9,
                "generation_tokens_total": tokens,
                "request_success_total": finished,
                "request_generation_tokens_sum": tokens,
                "request_generation_tokens_count": finished,
            }
            text = "".join(f"vllm:{name}{labels} {value}\n" for name, value in shown.items())
            text += f'vllm:request_generation_tokens_bucket{labels[:-1]},le="+Inf"}} {finished}\n'
            file.write(json.dumps({"t": 1_700_000_000 + at, "text": text}) + "\n")
    (folder / "settings.json").write_text("{}")
