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
