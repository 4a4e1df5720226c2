"""What every fuzz target shares: the two engines, the watch on memory, and the command line."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

GROWTH_BYTES = 64 * 1024**2
"""What the process may grow by after the first tenth of the time; hypothesis itself keeps some."""
_Drawn = TypeVar("_Drawn")


def drawn(
    seconds: float,
    examples: st.SearchStrategy[_Drawn],
    attempt: Callable[[_Drawn], int],
    things: str,
    *,
    batch_size: int = 100,
    between: Callable[[], None] = lambda: None,
) -> int:
    """By hypothesis: batches of examples until the time is over, and what is done ``between`` two batches.

    How many ``things`` were tried, by what ``attempt`` returns for each example. Raises MemoryError where the process
    goes on growing, and whatever an attempt raises.
    """
    tried = 0

    @settings(
        max_examples=batch_size,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(examples)
    def one(example: _Drawn) -> None:
        nonlocal tried
        tried += attempt(example)

    def batch() -> None:
        seed(int.from_bytes(os.urandom(4), "big"))(one)()
        between()

    grown = watched(batch, seconds, GROWTH_BYTES)
    sys.stdout.write(f"hypothesis: {tried:,} {things}, memory grew by {grown / 2**20:.1f} MiB\n")
    return tried


def watched(batch: Callable[[], None], seconds: float, most_growth_bytes: int) -> int:
    """Repeat for so long; the bytes grown by after the first tenth. Raises MemoryError beyond ``most_growth_bytes``."""
    started = time.monotonic()
    held: int | None = None
    while (passed := time.monotonic() - started) < seconds:
        batch()
        if held is None and passed > seconds / 10:
            held = _resident_bytes()
    gc.collect()
    grown = _resident_bytes() - (held or _resident_bytes())
    if grown > most_growth_bytes:
        raise MemoryError(f"grew by {grown} bytes")
    return grown


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Budget:
    """How long the coverage-guided engine runs [s], and where it keeps inputs that reached new code, if anywhere."""

    seconds: float
    corpus: Path | None = None


def guided(one: Callable[[bytes], None], seeds: Iterable[bytes], instrumented: tuple[str, ...], budget: Budget) -> None:
    """Coverage-guided, in this process; ends it. Faults end it with an exit code and the input that shows them.

    Modules whose names begin with one of ``instrumented``, imported before, are instrumented in place.
    """
    import atheris  # noqa: PLC0415 - an optional extra

    for name in [name for name in sys.modules if name.startswith(instrumented)]:
        module = sys.modules[name]
        for owner in [module, *(value for value in vars(module).values() if isinstance(value, type))]:
            for key, value in list(vars(owner).items()):
                if isinstance(value, FunctionType) and value.__module__ == name:
                    setattr(owner, key, atheris.instrument_func(value))
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(seeds):
            (Path(folder) / f"seed{number}").write_bytes(body)
        flags = [f"-max_total_time={int(budget.seconds)}", "-rss_limit_mb=1024", "-max_len=8192"]
        if budget.corpus is not None:
            budget.corpus.mkdir(parents=True, exist_ok=True)
        folders = [str(budget.corpus), folder] if budget.corpus is not None else [folder]
        atheris.Setup([sys.argv[0], *flags, *folders], one)
        atheris.Fuzz()


def command(
    module: str,
    words: str | None,
    by_hypothesis: Callable[[float], object],
    by_atheris: Callable[[Budget], None] | None = None,
) -> None:
    """The command line of a fuzz module: both engines, half the time each, where it has both and atheris is there."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(words or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long in all (default 600)")
    if by_atheris is None:
        by_hypothesis(parser.parse_args().seconds)
        return
    parser.add_argument("--engine", choices=("both", "hypothesis", "atheris"), default="both")
    parser.add_argument("--corpus", type=Path, help="where atheris keeps inputs, and goes on from those of other runs")
    args = parser.parse_args()
    if args.engine == "atheris":
        by_atheris(Budget(args.seconds, args.corpus))
        return
    both = args.engine == "both" and importlib.util.find_spec("atheris") is not None
    by_hypothesis(args.seconds / 2 if both else args.seconds)
    if both:
        again = [sys.executable, "-m", module, "--engine", "atheris", "--seconds", str(args.seconds / 2)]
        again += ["--corpus", str(args.corpus)] if args.corpus is not None else []
        sys.exit(subprocess.run(again, check=False).returncode)
