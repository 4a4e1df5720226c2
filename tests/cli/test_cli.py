"""The command line: exit codes, messages, and what the commands print."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pytest

from kvwatch import __version__
from kvwatch.cli import main, make_parser
from kvwatch.cli.common import config_from_flags
from kvwatch.cli.docs import PAGES, write
from kvwatch.estimate import Reason

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "data" / "recordings" / "seqcap"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first ninety scrapes of a recording, with a damaged line among them."""
    folder = tmp_path_factory.mktemp("recording") / "short"
    folder.mkdir()
    with gzip.open(RECORDING / "scrapes.jsonl.gz", "rb") as source:
        lines = list(itertools.islice(source, 90))
    (folder / "scrapes.jsonl").write_bytes(b"".join([*lines[:10], b"{damaged\n", *lines[10:]]))
    (folder / "settings.json").write_bytes((RECORDING / "settings.json").read_bytes())
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said to wrong flags."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` says name and version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"kvwatch {__version__}\n"


def test_a_valid_file_is_called_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """check-config gives 0 and the number of targets."""
    path = ROOT / "kvwatch.example.yaml"
    assert main(["check-config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: valid, 1 target\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targets: []\n", "nothing to watch: kvwatch run needs a --target"),
        (
            "targets: [{url: 'http://a:8000'}]\nestimates: {windows: [2m, 10m]}\n",
            "without the windows 1m and 5m no alert",
        ),
    ],
)
def test_what_a_valid_file_does_not_do_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    """A file may be complete by flags, and other windows are allowed: neither is a fault, and neither is silent."""
    path = tmp_path / "kvwatch.yaml"
    path.write_text(text)
    assert main(["check-config", str(path)]) == 0
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("targets:\n\t- url: http://a\n", "use spaces to indent"),
        ('targets:\n- url: "http://a\nscrape: {interval: 1s}\n', "which begins in line 2, column 8"),
    ],
)
def test_what_yaml_cannot_read_is_told_with_its_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    """A tab, and a quote that was opened far above the place where it is noticed."""
    path = tmp_path / "kvwatch.yaml"
    path.write_text(text)
    assert main(["check-config", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_each_fault_of_a_file_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """check-config gives 2 and every message, each with the file and the path."""
    path = ROOT / "tests" / "data" / "config" / "bad" / "several_at_once.yaml"
    assert main(["check-config", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1] == f'{path}: targets[0].url: is missing; add "url: <URL>"'


def test_run_without_a_target_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and the mend."""
    assert main(["run"]) == 2
    assert capsys.readouterr().err == (
        "targets: nothing to watch; give --target URL, or targets or discovery in a file with --config\n"
    )


def test_a_target_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """On the command line, and in the file and on the command line."""
    assert main(["run", "--target", "http://a", "--target", "http://a:80"]) == 2
    assert '"a:80" is already --target' in capsys.readouterr().err


FLAGS = {
    "no scheme": ("--target localhost:8000", '--target: "localhost:8000" has no scheme; write http://localhost:8000'),
    "no number": ("--target http://a --max-num-seqs many", '--max-num-seqs: expected a whole number, got "many"'),
    "no seats": ("--target http://a --max-num-seqs 0", "--max-num-seqs: 0 is out of range"),
    "no duration": ("--target http://a --interval often", "--interval: expected a duration, got"),
    "no port": ("--target http://a --listen localhost", '--listen: "localhost" has no port'),
    "abbreviated": ("--tar http://a", "unrecognized arguments: --tar"),
}


@pytest.mark.parametrize(("arguments", "message"), FLAGS.values(), ids=FLAGS.keys())
def test_a_wrong_flag_is_named_with_its_mend(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    """The same messages as in the configuration file, each on a line of its own without the usage before it."""
    told = refused(capsys, "run", *arguments.split())
    assert message in told
    assert len(told.splitlines()) == 1


def test_a_flag_that_is_nearly_right_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    """What was perhaps meant is named."""
    assert "did you mean --target?" in refused(capsys, "run", "--targets", "http://a")


def test_a_role_is_that_of_the_targets_of_the_command_line() -> None:
    """``--role`` reaches each target that ``--target`` names; without it they have none."""
    for flags, role in (["--role=decode"], "decode"), ([], ""):
        arguments = make_parser().parse_args(["run", "--target=http://a:8000", "--target=http://b:8000", *flags])
        assert [target.role for target in config_from_flags(arguments).targets] == [role, role]


def test_replay_prints_an_object_for_each_scrape(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One a line, strict JSON, target named as the folder; the damaged line is reported and skipped."""
    assert main(["replay", str(recording), "--format", "json"]) == 0
    output = capsys.readouterr()
    views = [json.loads(line) for line in output.out.splitlines()]
    assert len(views) == 90
    assert views[0].keys() == {"t", "engines"}
    assert views[-1]["engines"][0]["target"] == "short"
    assert views[-1]["engines"][0]["kv_capacity_tokens"] == 32736
    assert "service_rate" in views[-1]["engines"][0]
    assert output.err == f"{recording}: scrapes.jsonl:11: not_json; skipped\n"


def test_replay_prints_a_table_by_default(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row every ten seconds of recorded time, with the numbers an SRE asks for."""
    assert main(["replay", str(recording)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "short tiny 0" in line]
    assert 9 <= len(lines) <= 10
    assert "seqs" in lines[-1]


def test_the_table_says_which_window_it_is_about_and_what_its_words_mean(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each word of the last column is explained once below, and none stands in every row for ever."""
    assert main(["replay", str(recording)]) == 0
    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if "short tiny 0" in line]
    words = {word for row in rows for word in row.split() if word in set(Reason)}
    assert "λ and ρ are over 1m" in output
    assert words
    assert all(f"\n{word}: {Reason(word).words}" in output for word in words)
    assert not words & {"depends", "delta_is_bound"}


def test_every_thins_the_output(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--every 30s`` gives a view each half minute."""
    assert main(["replay", str(recording), "--format", "json", "--every", "30s"]) == 0
    times = [json.loads(line)["t"] for line in capsys.readouterr().out.splitlines()]
    assert len(times) >= 3
    assert all(after - before >= 30 for before, after in itertools.pairwise(times))


def test_replay_of_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a recording, a folder that is not there, a recording without a scrape."""
    assert main(["replay", str(tmp_path)]) == 1
    assert main(["replay", str(tmp_path / "none")]) == 1
    (tmp_path / "scrapes.jsonl").write_text("junk\n")
    assert main(["replay", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"kvwatch replay: {tmp_path} holds neither scrapes.jsonl.gz nor scrapes.jsonl",
        f"kvwatch replay: {tmp_path / 'none'} holds neither scrapes.jsonl.gz nor scrapes.jsonl",
        f"{tmp_path}: scrapes.jsonl:1: not_json; skipped",
        f"kvwatch replay: {tmp_path} holds no scrape that can be read",
    ]


def test_simulate_writes_a_recording_that_replay_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In virtual time: the same seed gives the same scrapes, and the estimates find the engine."""
    for name in ("a", "b"):
        arguments = ["--scenario", "seqcap", "--duration", "90s", "--seed", "7", "--output", str(tmp_path / name)]
        assert main(["simulate", *arguments]) == 0
    first, second = (gzip.decompress((tmp_path / name / "scrapes.jsonl.gz").read_bytes()) for name in ("a", "b"))
    assert first == second
    assert main(["simulate", "--output", str(tmp_path / "a")]) == 1
    assert "exists; choose another folder" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "a"), "--format", "json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["engines"][0]["model_name"] == "emulated"
    assert last["engines"][0]["arrival_rate"]["1m"] > 0


def test_record_writes_what_replay_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a port where nobody listens, every scrape is a failure: that is a recording too, and exit code 1."""
    output = tmp_path / "new"
    arguments = [
        "--target",
        "http://127.0.0.1:1",
        "--output",
        str(output),
        "--interval",
        "100ms",
        "--duration",
        "300ms",
    ]
    assert main(["record", *arguments, "--log-level", "error"]) == 1
    assert "0 scrapes, " in capsys.readouterr().out
    assert main(["record", *arguments]) == 1
    assert "exists; choose another folder" in capsys.readouterr().err
    assert main(["replay", str(output), "--format", "json"]) == 0
    assert all(json.loads(line)["engines"] == [] for line in capsys.readouterr().out.splitlines())


def test_record_takes_one_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two are refused with the mend."""
    targets = ["--target", "http://a", "--target", "http://b"]
    assert main(["record", *targets, "--output", str(tmp_path / "new")]) == 1
    assert "start one recorder for each" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the way of the folder."""
    (tmp_path / "file").write_text("")
    assert main(["record", "--target", "http://127.0.0.1:1", "--output", str(tmp_path / "file" / "x")]) == 1
    assert capsys.readouterr().err == f"kvwatch record: cannot write to {tmp_path / 'file' / 'x'}: Not a directory\n"


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_current(tmp_path: Path, name: str) -> None:
    """The generated pages are what the code says, at any width of the terminal."""
    write(tmp_path)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8")


def test_the_page_of_the_api_names_every_path() -> None:
    """docs/http-api.md lists the routes that are served."""
    page = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
    for path in ("/metrics", "/api/v1/engines", "/-/healthy", "/-/ready", "/"):
        assert f"| `{path}` |" in page


def test_commands_are_those_that_work() -> None:
    """Help can be asked of each."""
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["no-such-command"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--speed", "2", "--output", "folder"], "--speed works only without --output"),
        (["--no-load", "--output", "folder"], "--no-load works only without --output"),
        (["--duration", "5m"], "--duration works only together with --output"),
    ],
)
def test_simulate_refuses_flags_that_would_do_nothing(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag of the other mode is an error, not silence."""
    assert main(["simulate", *arguments]) == 1
    assert fault in capsys.readouterr().err
