"""A release as it is built from a tag: everything is there, runs, and is the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from kvwatch import __version__

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "scripts/build_release.sh"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
NAMES = {
    "NOTES.md",
    "SHA256SUMS",
    f"kvwatch-{__version__}-py3-none-any.whl",
    f"kvwatch-{__version__}.cdx.json",
    f"kvwatch-{__version__}.tar.gz",
    f"kvwatch-chart-{__version__}.tgz",
}


def built(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """What the script says."""
    environment = os.environ | {"CACHE": str(ROOT / ".cache")}
    return subprocess.run([SCRIPT, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release of the last commit."""
    folder = tmp_path_factory.mktemp("release") / "out"
    done = built(folder, __version__)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.helm
def test_it_has_its_parts_and_their_hashes(release: Path) -> None:
    """The script itself installs the wheel in an empty environment and runs it; here is what it leaves."""
    assert {path.name for path in release.iterdir()} == NAMES
    sums = dict(reversed(line.split("  ")) for line in (release / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == NAMES - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((release / name).read_bytes()).hexdigest() == digest


@pytest.mark.helm
def test_the_wheel_has_what_runs_and_nothing_of_the_bench(release: Path) -> None:
    """The page and the runbooks too, which are no Python."""
    with zipfile.ZipFile(release / f"kvwatch-{__version__}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
    needed = {
        "runbooks/KvwatchOverloaded.md",
        "backtest/kvwatch.rules.yaml",
        "paper/report.css",
        "planning/plan.css",
        "__main__.py",
    }
    assert {f"kvwatch/{name}" for name in needed} <= set(names)
    assert any(name.startswith("kvwatch/page/") and name.endswith(".js") for name in names)
    assert all(name.startswith(("kvwatch/", f"kvwatch-{__version__}.dist-info/")) for name in names)
    with tarfile.open(release / f"kvwatch-{__version__}.tar.gz") as source:
        tops = {Path(name).parts[1] for name in source.getnames()}
    assert not tops & {"tests", "bench", "helm", "dashboards", ".github"}


@pytest.mark.helm
def test_the_list_of_parts_names_what_is_installed(release: Path) -> None:
    """CycloneDX, each part at the version that CI tests."""
    parts = json.loads((release / f"kvwatch-{__version__}.cdx.json").read_text())
    assert (parts["bomFormat"], parts["metadata"]["component"]["name"]) == ("CycloneDX", "kvwatch")
    found = {part["name"].lower(): part["version"] for part in parts["components"]}
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text().lower(), re.MULTILINE))
    direct = {"aiohttp", "bcrypt", "numpy", "orjson", "prometheus_client", "river", "grpcio", "kubernetes_asyncio"}
    assert direct <= set(found)
    assert {name: found[name] for name in direct} == {name: pins[name] for name in direct}


@pytest.mark.helm
def test_the_chart_and_the_notes_are_of_this_version(release: Path) -> None:
    """The chart as Helm takes it; the notes are the changelog's section without those of others."""
    with tarfile.open(release / f"kvwatch-chart-{__version__}.tgz") as chart:
        about = chart.extractfile("kvwatch/Chart.yaml")
        assert about is not None
        assert yaml.safe_load(about.read())["version"] == __version__
    notes = (release / "NOTES.md").read_text()
    assert notes.startswith("### ")
    assert "\n## [" not in notes


@pytest.mark.helm
def test_the_same_commit_gives_the_same_bytes_elsewhere(release: Path, tmp_path: Path) -> None:
    """In another folder, at another time, of a clone in which other files lie about."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-local", "--depth", "1", f"file://{ROOT}", clone], check=True)
    (clone / "kvwatch" / "left_over.py").write_text("")
    done = built(tmp_path / "again", cwd=clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (release / "SHA256SUMS").read_text()


def test_another_version_than_that_of_the_sources_is_refused(tmp_path: Path) -> None:
    """A tag that nobody raised the version for builds nothing."""
    done = built(tmp_path / "out", "99.0.0")
    assert (done.returncode, done.stderr) == (
        1,
        f"build_release: asked for 99.0.0, but kvwatch/__init__.py says {__version__}\n",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_named_by_the_hash_of_their_commit(path: Path) -> None:
    """A tag can be moved; the version stands beside the hash for those who read."""
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_may_do_is_said_and_ends(path: Path) -> None:
    """Each has the least rights, and each job a limit of time."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
