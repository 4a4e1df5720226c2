"""The pictures are what the recordings say today."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_NUMBER = re.compile(r"-?\d+\.\d")


@pytest.mark.long
@pytest.mark.parametrize("name", ["ramp", "congestion"])
def test_the_committed_picture_is_what_its_script_draws(name: str, tmp_path: Path) -> None:
    """A pixel of difference is allowed: arithmetic differs between processors in the last digits."""
    drawn = tmp_path / "drawn.svg"
    runpy.run_path(str(ROOT / f"scripts/{name}_picture.py"))["main"](output=drawn)
    new, old = drawn.read_text(encoding="utf-8"), (ROOT / f"docs/{name}.svg").read_text(encoding="utf-8")
    remedy = f"draw it again: python scripts/{name}_picture.py"
    assert _NUMBER.sub("0", new) == _NUMBER.sub("0", old), remedy
    numbers = [[float(n) for n in _NUMBER.findall(text)] for text in (new, old)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1.0), remedy
