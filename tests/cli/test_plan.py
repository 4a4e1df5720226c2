"""``kvwatch plan`` as a user calls it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from kvwatch.cli.main import main
from kvwatch.core.fleet import Fleet
from kvwatch.shell.recordings.replay import Recording, replay
from kvwatch.shell.state.file import Checkpoint, StateFile
from tests.planning.test_data_sheets import LLAMA_8B
from tests.shell.conftest import DATA

RECORDING = str(DATA / "recordings" / "homog")


def planned(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    code = main(["plan", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.long
def test_a_recording_is_planned_for_the_load_that_it_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The answer first, then what it rests on; the report is one page that loads nothing."""
    page = tmp_path / "plan.html"
    code, out, err = planned(capsys, "--recording", RECORDING, "--rate", "20", "--ttft-p95", "2s", "--html", page)
    assert (code, err) == (0, "")
    assert re.match(r"\d+ replicas( \(\d+ to \d+\))? for 20 requests per second. One replica sustains [\d.]+ ", out)
    assert "KV memory: 16352 tokens [measured]" in out
    html = page.read_text()
    assert out.splitlines()[0].split("(")[0].strip() in html
    assert not re.search(r"(src|href)=|@import|url\(", html)
    assert html.count("<svg") == 3


@pytest.mark.long
def test_a_model_on_a_gpu_is_planned_and_said_to_be_a_guess(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In JSON the same, with every number."""
    config, trace = tmp_path / "config.json", tmp_path / "trace.csv"
    config.write_text(json.dumps(LLAMA_8B))
    rows = [f"{at / 10},m,{300 + at},{50 + at % 7},0,x" for at in range(200)]
    trace.write_text("\n".join(["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", *rows]))
    arguments = ("--model", config, "--gpu", "h100", "--trace", trace)
    code, out, _ = planned(capsys, *arguments, "--rate", "100", "--rate", "200")
    assert code == 0
    assert "Nobody has measured this engine" in out
    assert "traffic: 200 requests of trace.csv [measured]" in out
    code, out, _ = planned(capsys, *arguments, "--format", "json")
    document = json.loads(out)
    (replicas,) = document["replicas"]
    assert replicas["rate"] == pytest.approx(10.0)
    assert document["lower"] < document["service_rate"] < document["upper"]
    assert {basis["known"] for basis in document["basis"]} == {"measured", "data sheet", "assumed", "given"}


@cache
def watched() -> tuple[Checkpoint, float]:
    """What a kvwatch that has watched the recorded server keeps of it, and the rate that it says in the end."""
    fleets: list[Fleet] = []
    for last in replay(Recording(Path(RECORDING), pytest.fail), made=fleets.append):
        rate = last.targets[0].engines[0].service_rate.value
    assert rate is not None
    return Checkpoint(engines=fleets[0].dump()), rate


@pytest.mark.long
def test_a_state_file_is_planned_as_the_server_that_it_was_learnt_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its interval holds the rate that the recording shows, whose end is an overload. The file stays as it is."""
    state = tmp_path / "state.json"
    kept, rate = watched()
    StateFile(state).save(kept)
    before = state.read_bytes()
    settings = ("--max-num-seqs", "256", "--max-num-batched-tokens", "2048")
    code, out, err = planned(capsys, "--state", state, *settings, "--rate", "20", "--format", "json")
    assert (code, err) == (0, "")
    plan = json.loads(out)
    assert plan["lower"] < rate < plan["upper"]
    assert state.read_bytes() == before


@pytest.mark.long
def test_prefill_and_decode_are_sized_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each serves more than the engine that does both, and hangs on other lengths; the report has both."""
    page = tmp_path / "plan.html"
    arguments = ("--recording", RECORDING, "--rate", "20", "--format", "json")
    code, out, _ = planned(capsys, *arguments, "--disaggregated", "--html", page)
    assert code == 0
    plans = json.loads(out)
    assert set(plans) == {"prefill", "decode"}
    for plan in plans.values():
        assert plan["service_rate"] > watched()[1]
    hangs = {role: {c["words"]: c["gain_ratio"] for c in plan["sensitivities"]} for role, plan in plans.items()}
    assert hangs["prefill"]["prompts a fifth longer"] < -0.1 < hangs["prefill"]["outputs a fifth longer"]
    assert hangs["decode"]["outputs a fifth longer"] < -0.1
    # prefill servers make one token of an output, so that there is no time between two
    assert all(point["between_seconds"] == [] for point in plans["prefill"]["curve"])
    assert all(point["between_seconds"] for point in plans["decode"]["curve"])
    assert page.read_text().count("<svg") == 5


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give one of --recording DIR, --url URL, --state FILE, or --model config.json with --gpu NAME"),
        (["--recording", "/nowhere"], "/nowhere holds neither scrapes.jsonl.gz"),
        (["--model", "/nowhere", "--gpu", "z9"], "--gpu z9: known are a10, a100"),
        (["--model", "/nowhere", "--gpu", "h100"], "nothing says how long requests are"),
        (["--model", "/nowhere", "--gpu", "h100", "--prompt-tokens", "9"], "belong together"),
        (
            ["--model", "/nowhere", "--gpu", "h100", "--prompt-tokens", "9", "--output-tokens", "9", "--rate", "1"],
            "cannot read /nowhere: No such file",
        ),
        (["--state", "/nowhere"], "cannot read /nowhere: No such file"),
        (["--state", str(DATA / "recordings" / "homog" / "truth.json")], "damaged: not JSON"),
        (["--url", "http://127.0.0.1:9", "--watch", "10s"], "http://127.0.0.1:9: "),
        (["--recording", RECORDING, "--trace", "/nowhere"], "cannot read /nowhere: No such file"),
    ],
)
def test_what_cannot_be_planned_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], why: str) -> None:
    """With what is missing, and exit code 1."""
    code, out, err = planned(capsys, *arguments)
    assert (code, out) == (1, "")
    assert why in err
