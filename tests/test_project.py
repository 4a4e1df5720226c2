"""What must hold of the repository as a whole, whoever adds the next file."""

from __future__ import annotations

import argparse
import gzip
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import kvwatch
from kvwatch.cli import make_parser

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = ("run", "demo", "status", "record", "replay", "plan", "backtest", "simulate", "check-config")

# In pieces, so that this file does not hold what it looks for. Each begins with a literal, which makes the search
# through megabytes of logs quick.
FOREIGN = [
    re.compile(pattern)
    for pattern in (
        r"/(?<![\w.]/)(?:" + "wor" + "k|op" + "t|roo" + "t|hom" + r"e|tmp/bash_jobs)/\w",
        r"\.\./" + "shared",
        "py" + r"pi\.org",
        "python" + "hosted",
        r"registry\.npm" + "js",
        r"deb\." + "debian",
        r"security\." + "debian",
    )
]


def git(*arguments: str) -> list[str]:
    """Lines that git prints about this checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@cache
def tracked() -> tuple[Path, ...]:
    """Every tracked file that is still there, as a path from the root."""
    return tuple(Path(name) for name in git("ls-files") if (ROOT / name).is_file())


def tracked_like(pattern: str) -> list[Path]:
    """Tracked files whose path matches the glob ``pattern``."""
    found = [path for path in tracked() if path.match(pattern)]
    assert found, f"no tracked file is like {pattern}; the check would say nothing"
    return found


def text_of(path: Path) -> str:
    """A tracked file as text, unpacked; bytes that are no UTF-8 become marks."""
    data = (ROOT / path).read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", errors="replace")


def pins() -> dict[str, Version]:
    """constraints.txt: canonical name to version."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            found[canonicalize_name(name)] = Version(version)
    return found


def test_no_tracked_file_names_a_machine_path_or_a_registry() -> None:
    """The repository works for anyone: it knows no folder of one machine and leaves registries to pip's settings."""
    faults = []
    for path in tracked():
        if path.name.startswith("scrapes.jsonl"):
            continue  # metrics only, and 30 MB unpacked
        text = text_of(path)
        faults += [
            f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {found.group()}"
            for pattern in FOREIGN
            if (found := pattern.search(text))
        ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "line", ["in /" + "work/main", "/" + "root/x", "../" + "shared/x", "https://py" + "pi.org/simple"]
)
def test_the_search_for_machine_paths_finds_them(line: str) -> None:
    """The check above is able to fail."""
    assert any(pattern.search(line) for pattern in FOREIGN)


def test_every_python_file_is_under_400_lines() -> None:
    """A file that a newcomer can read is one thing, and short."""
    lengths = {path: text_of(path).count("\n") for path in tracked_like("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length >= 400}


def test_nothing_is_left_to_do_in_the_package() -> None:
    """What is not built yet is absent, not a stub."""
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    faults = [
        f"{path}:{number}"
        for path in tracked_like("kvwatch/*.py") + tracked_like("kvwatch/*/*.py")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if marks.search(line)
    ]
    assert not faults


def test_help_lists_every_command_and_no_other() -> None:
    """The installed ``kvwatch --help`` names the commands that work, each with a line of its own."""
    tool = Path(sys.executable).with_name("kvwatch")
    done = subprocess.run([tool, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^    ([a-z][a-z-]+)(?: {2,}\S|\n {8,}\S)", done.stdout, flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = [a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(commands.choices)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_of_a_command_is_described(command: str) -> None:
    """``kvwatch COMMAND --help`` says what the command does, and something about each flag."""
    parser = parsers()[command]
    assert parser.description
    assert [action.option_strings or action.dest for action in parser._actions if not action.help] == []


def test_commands_in_the_documents_exist() -> None:
    """A command or make target that a reader copies from a document is there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    faults = []
    for path in tracked_like("*.md"):
        code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text_of(path), flags=re.DOTALL))
        faults += [
            f"{path}: kvwatch {w}" for w in re.findall(r"(?<![\w/.-])kvwatch ([a-z][a-z-]+)", code) if w not in COMMANDS
        ]
        faults += [f"{path}: make {word}" for word in re.findall(r"\bmake ([a-z][a-z-]*)", code) if word not in targets]
    assert not faults


def test_links_in_the_documents_lead_somewhere() -> None:
    """A relative link in Markdown names a tracked file or folder, and its fragment a heading there."""
    faults = []
    for path in tracked_like("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            goal = (ROOT / path.parent / name).resolve() if name else ROOT / path
            if not goal.exists() or not goal.is_relative_to(ROOT):
                faults.append(f"{path}: {target}")
            elif fragment and fragment not in anchors(goal.relative_to(ROOT)):
                faults.append(f"{path}: {target} has no such heading")
    assert not faults


def anchors(path: Path) -> set[str]:
    """The fragments that the headings of a Markdown file make."""
    headings = re.findall(r"^#+ +(.+)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_changelog_has_the_version() -> None:
    """The version in the package is described in the changelog, under a heading of its own."""
    assert re.search(rf"^## \[?{re.escape(kvwatch.__version__)}\b", text_of(Path("CHANGELOG.md")), flags=re.MULTILINE)


def test_architecture_lists_the_layers_that_are_enforced() -> None:
    """The layers in ARCHITECTURE.md are those of the import contract, in its order."""
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    enforced = [name.strip().removeprefix("kvwatch.") for layer in contract for name in layer.split("|")]
    drawn = re.findall(r"^\| `(\w+)` \|", text_of(Path("ARCHITECTURE.md")), flags=re.MULTILINE)
    assert drawn == enforced


def test_scripts_are_executable_in_git() -> None:
    """What CI and make start by its path can be started after a fresh clone."""
    modes = {line.split()[3]: line.split()[0] for line in git("ls-files", "--stage", ".ci", "scripts")}
    scripts = [name for name in modes if name == ".ci/run" or name.endswith(".sh")]
    assert ".ci/run" in scripts
    assert {name: modes[name] for name in scripts if modes[name] != "100755"} == {}


def test_ci_requires_every_component() -> None:
    """CI runs everything and turns a skip into a failure."""
    script = text_of(Path(".ci/run"))
    assert re.search(r"^export KVWATCH_REQUIRE_COMPONENTS=1$", script, flags=re.MULTILINE)
    assert re.search(r"^exec make test\b", script, flags=re.MULTILINE)


@pytest.mark.parametrize(("required", "outcome"), [("0", "3 skipped"), ("1", "1 failed, 2 errors")])
def test_a_skip_is_a_failure_where_components_are_required(tmp_path: Path, required: str, outcome: str) -> None:
    """Tests that skip themselves, or are marked so, and modules that skip as a whole fail under the variable."""
    (tmp_path / "test_body.py").write_text("import pytest\ndef test(): pytest.skip('missing')\n")
    (tmp_path / "test_mark.py").write_text("import pytest\n@pytest.mark.skipif(True, reason='')\ndef test(): pass\n")
    (tmp_path / "test_module.py").write_text("import pytest\npytest.skip('missing', allow_module_level=True)\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--continue-on-collection-errors", str(tmp_path)]
    environment = os.environ | {"KVWATCH_REQUIRE_COMPONENTS": required, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome in done.stdout.splitlines()[-1], done.stdout


@pytest.mark.parametrize("name", ["constraints.txt", "scripts/vllm-constraints.txt"])
def test_constraints_are_plain_pins(name: str) -> None:
    """Constraints hold names and exact versions: no address, no path, no option."""
    lines = [line for line in text_of(Path(name)).splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line)] == []


def test_constraints_pin_every_dependency() -> None:
    """Each package that kvwatch or its tools need, however indirectly, is pinned to a version that fits."""
    pinned = pins()
    waiting = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    seen, faults = set(), []
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if name not in pinned or not requirement.specifier.contains(pinned[name], prereleases=True):
            faults.append(f"{requirement}: pinned is {pinned.get(name)}")
        if name not in seen:
            seen.add(name)
            waiting += importlib.metadata.requires(name) or []
    assert not faults
