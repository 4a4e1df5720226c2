"""``kvwatch backtest`` over recordings, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from distributed import LocalCluster

from kvwatch.cli import main
from kvwatch.cli.flags.backtest import moment

RAMP = Path(__file__).parents[1] / "data" / "recordings" / "ramp11"
RULES = """
groups:
  - name: mine
    interval: 15s
    rules:
      - record: waiting
        expr: sum by (model_name) (vllm:num_requests_waiting)
      - alert: Waiting
        expr: waiting > 10
        for: 30s
        labels: {severity: page}
      - alert: Unusual
        expr: topk(1, waiting) > 0
"""


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The JSON report of a ramp that ends in overload, beside rules of the user's."""
    (tmp_path / "mine.yaml").write_text(RULES)
    output = tmp_path / "report.json"
    code = main(["backtest", "--recording", str(RAMP), "--rules", str(tmp_path / "mine.yaml"), "--queue-for", "30s",
                 "--output", str(output), "--checkpoint", str(tmp_path / "work"), "--processes", "1"])  # fmt: skip
    assert code == 0
    assert capsys.readouterr().out.startswith("kvwatch would have paged")
    return output


def test_rules_of_the_users_are_evaluated_over_the_recording(report: Path) -> None:
    """Recorded names, ``for`` and severities count; what cannot be evaluated here is named with the reason."""
    yours = json.loads(report.read_text())["sides"][1]
    assert [page["alerts"] for page in yours["paged"]] == [["Waiting"]]
    assert yours["paged"][0]["outcome"] == "after"
    assert "topk" in yours["not_evaluated"]["Unusual"]


@pytest.mark.long
def test_a_dask_cluster_says_what_processes_say(report: Path, tmp_path: Path) -> None:
    """The same function is mapped over a cluster that is there already; a local one, of one worker."""
    output = tmp_path / "dask.json"
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        code = main(["backtest", "--recording", str(RAMP), "--rules", str(tmp_path / "mine.yaml"), "--queue-for", "30s",
                     "--output", str(output), "--checkpoint", str(tmp_path / "dask"),
                     "--dask", cluster.scheduler_address])  # fmt: skip
    assert code == 0
    assert output.read_bytes() == report.read_bytes()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1760000000", ("at", 1_760_000_000.0)),
        ("2025-10-09T08:53:20Z", ("at", 1_760_000_000.0)),
        ("2025-10-09T10:53:20+02:00", ("at", 1_760_000_000.0)),
        ("2025-10-09", ("at", 1_759_968_000.0)),
        ("7d", ("ago", 604_800.0)),
        ("90m", ("ago", 5400.0)),
    ],
)
def test_times_are_read_as_people_write_them(text: str, found: tuple[str, float]) -> None:
    """A date, a moment of any zone, unix seconds, or how long ago; without a zone UTC is meant."""
    assert moment(text) == found


MISTAKES = [
    (["--recording", "nothing"], 1, "nothing holds neither scrapes.jsonl.gz nor scrapes.jsonl"),
    (["--recording", str(RAMP), "--start", "1d"], 2, "--start and --end go with --prometheus"),
    (["--recording", str(RAMP), "--rules", "none.yaml"], 1, "cannot read none.yaml"),
    (["--prometheus", "ftp://x"], 2, "--prometheus"),
    (["--prometheus", "http://127.0.0.1:1", "--key-file", "k"], 2, "--key-file is the key of --cert-file"),
    (["--prometheus", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1: "),
    (["--recording", str(RAMP), "--dask", "tcp://127.0.0.1:1"], 1, "no Dask cluster at tcp://127.0.0.1:1"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES)
def test_each_mistake_has_its_message(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names what is wrong."""
    assert main(["backtest", *arguments, "--checkpoint", str(tmp_path / "work")]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("groups: [", "not YAML"),
        ("alert: x", "no list of groups"),
        ("groups: [{name: g, rules: [{alert: A, expr: 'rate(x'}]}]", "group g, rule 1 (A): expr is no PromQL"),
        ("groups: [{name: g, rules: [{alert: A, expr: x, for: soon}]}]", "'soon' is no duration"),
        ("groups: [{name: g, rules: [{expr: x}]}]", "needs alert or record"),
    ],
)
def test_a_rule_file_that_is_none_is_refused_with_the_place(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read of the servers."""
    (tmp_path / "rules.yaml").write_text(text)
    arguments = ["backtest", "--recording", str(RAMP), "--rules", str(tmp_path / "rules.yaml")]
    assert main([*arguments, "--checkpoint", str(tmp_path / "work")]) == 1
    assert words in capsys.readouterr().err


def test_a_folder_of_another_backtest_is_not_touched(report: Path, tmp_path: Path) -> None:
    """Two questions do not mix, and what is no backtest's is never taken away."""
    work = str(tmp_path / "work")
    assert main(["backtest", "--recording", str(RAMP), "--every", "30s", "--checkpoint", work]) == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("mine")
    assert main(["backtest", "--recording", str(RAMP), "--fresh", "--checkpoint", str(other)]) == 1
    assert (other / "precious").read_text() == "mine"
