"""The emulated ``/metrics`` has the structure of a real vLLM 0.32's, to the byte."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from kvwatch.embedded.engine import Engine
from kvwatch.embedded.exposition import number, render
from kvwatch.embedded.settings import SchedulerSettings
from kvwatch.embedded.step_clock import StepClock
from kvwatch.embedded.step_law import StepLaw
from kvwatch.embedded.workload import Lognormal, Segment, arrivals

REAL = Path(__file__).parent / "data" / "vllm-0.32.0.prom.gz"
LEFT_OUT = re.compile(r"(# (HELP|TYPE) )?(python_|process_(?!start_time)|http_(?!requests_))")


def structure(text: str) -> list[str]:
    """Every line without its value; what is left out of the emulation is dropped."""
    lines = [line for line in text.splitlines() if not LEFT_OUT.match(line)]
    return [line if line.startswith("#") else line.rpartition(" ")[0] for line in lines]


def emulated(seconds: float) -> str:
    """An engine with the settings of the recorded one, after ``seconds`` of light chat traffic."""
    settings = SchedulerSettings(
        num_blocks=512,
        block_size_tokens=32,
        max_num_seqs=256,
        max_num_batched_tokens=1024,
        max_model_len=4096,
        enable_prefix_caching=True,
    )
    lengths = Lognormal(100, 0.5, 60, 0.5, shared_prefix_tokens=160)
    stream = arrivals([Segment(seconds, 4, 4)], lengths, seed=1)
    engine = Engine(settings, StepClock(StepLaw(0.01, 0.001)), stream)
    engine.advance(seconds)
    return render(engine, model_name="tiny", unix_offset=1.795315069180e9)


def test_every_line_but_for_its_value_is_the_real_servers() -> None:
    """Families, their order, help, type, label order, label values and bucket edges are those of the real scrape."""
    real = gzip.decompress(REAL.read_bytes()).decode()
    assert structure(emulated(20.0)) == structure(real)


def test_an_idle_engine_shows_zeros() -> None:
    """Before any request every vLLM sample but the creation times, the state and the config is zero."""
    for line in emulated(0.0).splitlines():
        name, _, value = line.rpartition(" ")
        if line.startswith("vllm:") and "_created" not in name and "awake" not in name and "config_info" not in name:
            assert float(value) == 0, line


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_are_spelled_as_the_client_library_does(value: float) -> None:
    """Float formatting is that of prometheus_client."""
    assert number(value) == floatToGoString(value)


def test_label_values_are_escaped() -> None:
    """A model name may hold quotes, backslashes and line feeds."""
    engine = Engine(SchedulerSettings(num_blocks=8), StepClock(StepLaw(0.01)))
    assert r'model_name="a\"b\\c\nd"' in render(engine, model_name='a"b\\c\nd')
