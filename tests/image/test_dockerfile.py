"""The Dockerfile is linted, and says the same as the project's other files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_has_nothing_to_say() -> None:
    """hadolint, which is among the development tools, finds no fault in the Dockerfile."""
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_does_not_run_as_root_or_with_a_shell() -> None:
    """The last stage has a numeric user, as Kubernetes' runAsNonRoot needs, and its commands are lists."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER 65532:65532$", last, flags=re.MULTILINE)
    assert "\nRUN " not in last
    assert re.findall(r"(?:ENTRYPOINT|CMD) (\S)", last) == ["["] * 3


def test_only_what_is_built_from_reaches_the_build() -> None:
    """What the Dockerfile copies, and .dockerignore lets through, is what pip needs to build kvwatch."""
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    ]
    copied = set(re.findall(r"^COPY ([^-\n]+) \S+$", DOCKERFILE, flags=re.MULTILINE))
    assert {name for line in copied for name in line.split()} == set(allowed)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {project["project"]["readme"], *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]} <= {
        *allowed
    }


def test_bash_reads_the_build_script() -> None:
    """The script that builds the image has no syntax fault."""
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", ROOT / "scripts" / "build_image.sh"], check=False).returncode == 0
