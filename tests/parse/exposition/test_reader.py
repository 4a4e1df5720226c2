"""The forms that a line may take, and what becomes of lines that cannot be read."""

from __future__ import annotations

from math import inf

import pytest

from kvwatch.facts import EngineKey, EngineSample
from kvwatch.parse.exposition import ExpositionReader

RUNNING = b'vllm:num_requests_running{engine="0",model_name="m"} '
WAITING = b'vllm:num_requests_waiting{engine="0",model_name="m"} 5\n'


def _engine(body: bytes) -> EngineSample:
    scrape = ExpositionReader().read(body, at=0.0)
    assert scrape.bad_lines == 0
    (engine,) = scrape.engines
    return engine


@pytest.mark.parametrize(
    "line",
    [
        b'vllm:num_requests_running{engine="0",model_name="m"} 3',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\r',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3e0',
        b'vllm:num_requests_running{engine="0",model_name="m",} 3',
        b'vllm:num_requests_running{engine="0",model_name="m"}\t3',
        b'vllm:num_requests_running{engine="0",model_name="m"}3',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 ',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 1750000000000',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3\t1750000000.5',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 # {trace_id="a b"} 0.5 1.75e9',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 1750000000 # {} 7',
        b'vllm:num_requests_running { engine = "0" , model_name = "m" } 3',
        b'  \tvllm:num_requests_running{engine="0",model_name="m"}   3',
        b'vllm:num_requests_running{model_name="m",engine="0"} 3',
        b'vllm:num_requests_running{model_name="m"} 3',
        b'vllm:num_requests_running{engine="0",model_name="m",new="} 9 #"} 3',
    ],
)
def test_every_form_of_a_line_is_read(line: bytes) -> None:
    """Spaces, tabs, CRLF, timestamps, exemplars, label order: the number is the same."""
    body = b"# TYPE vllm:num_requests_running gauge\r\n" + line + b"\n\n"
    reader = ExpositionReader()
    for _ in range(3):  # the first time slowly, then from memory
        scrape = reader.read(body + WAITING, at=0.0)
        assert scrape.bad_lines == 0
        assert scrape.engines == (EngineSample(EngineKey("m", "0"), running=3.0, waiting=5.0),)


@pytest.mark.parametrize(
    "line",
    [
        b'vllm:num_requests_running{engine="0",model_name="m"}',
        b'vllm:num_requests_running{engine="0",model_name="m"} ',
        b'vllm:num_requests_running{engine="0",model_name="m"} three',
        b'vllm:num_requests_running{engine="0",model_name="m"} 1_0',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 now',
        b'vllm:num_requests_running{engine="0",model_name="m"} 3 4 5',
        b'vllm:num_requests_running{engine="0",model_name="m" 3',
        b'vllm:num_requests_running{engine="0",model_name="m} 3',
        b'vllm:num_requests_running{engine="0" model_name="m"} 3',
        b'vllm:num_requests_running{engine="0",engine="1",model_name="m"} 3',
        b'vllm:num_requests_running{engine=0,model_name="m"} 3',
        b'vllm:num_requests_running{engine="0",model_name="\xff"} 3',
        b"vllm:num_requests_running!{} 3",
        b'{"vllm:num_requests_running"} 3',
        b"\x00",
        b"<html>",
    ],
)
def test_a_bad_line_is_counted_and_left_out(line: bytes) -> None:
    """What cannot be read is one bad line each time, and takes nothing else with it."""
    reader = ExpositionReader()
    for _ in range(3):
        scrape = reader.read(line + b"\n" + WAITING, at=0.0)
        assert scrape.bad_lines == 1
        assert scrape.engines == (EngineSample(EngineKey("m", "0"), waiting=5.0),)


@pytest.mark.parametrize("text", [b"NaN", b"+Inf", b"-Inf", b"-1", b"1e999"])
def test_a_gauge_that_is_no_count_is_unknown(text: bytes) -> None:
    """NaN and what no count can be are unknown, and no fault of the line."""
    engine = _engine(RUNNING + text + b"\n" + WAITING)
    assert (engine.running, engine.waiting) == (None, 5.0)


def test_a_sum_of_seconds_may_be_negative() -> None:
    """A request that is aborted can add a negative time, so the sum is passed on as it is."""
    engine = _engine(WAITING + b'vllm:request_prefill_time_seconds_sum{engine="0",model_name="m"} -12.5\n')
    assert engine.prefill_seconds_sum == -12.5


def test_escapes_in_label_values() -> None:
    r"""\\, \" and \n are undone, any other backslash stays, and a brace or comma ends nothing."""
    line = r'vllm:num_requests_running{engine="0",model_name="a\\b\"c\nd\x},{ é"} 3'
    engine = _engine(line.encode() + b"\n")
    assert engine.key.model_name == 'a\\b"c\nd\\x},{ é'


SAME = [
    b'vllm:num_requests_running{model_name="m",engine="0"} ',
    b'vllm:num_requests_running{ engine = "0" , model_name="m" } ',
    b'vllm:num_requests_running{engine="0",model_name="m",more=""} ',
    RUNNING,
]


@pytest.mark.parametrize("again", SAME)
def test_a_series_that_contradicts_itself_is_unknown(again: bytes) -> None:
    """Shown twice with two values, neither counts nor are they added up, at first sight and from memory."""
    reader = ExpositionReader()
    for _ in range(4):
        scrape = reader.read(RUNNING + b"3\n" + WAITING + again + b"4\n", at=0.0)
        (engine,) = scrape.engines
        assert (engine.running, engine.waiting, scrape.bad_lines) == (None, 5.0, 1)
    assert reader.read(RUNNING + b"3\n" + WAITING, at=0.0).engines[0].running == 3.0


@pytest.mark.parametrize("again", SAME)
def test_a_series_that_is_shown_twice_with_one_value_counts_once(again: bytes) -> None:
    """As Prometheus takes it."""
    reader = ExpositionReader()
    for _ in range(4):
        scrape = reader.read(again + b"3\n" + WAITING + RUNNING + b"3\n", at=0.0)
        (engine,) = scrape.engines
        assert (engine.running, engine.waiting, scrape.bad_lines) == (3.0, 5.0, 0)


def test_a_bucket_whose_edge_is_spelled_in_two_ways_is_one_bucket() -> None:
    """An edge is a number, so 1 and 1.0 are the same: the counts are not added up."""
    name = b"vllm:request_prompt_tokens"
    lines = [
        name + b'_bucket{engine="0",le="1",model_name="m"} 2\n',
        name + b'_bucket{engine="0",le="1.0",model_name="m"} 2\n',
        name + b'_bucket{engine="0",le="+Inf",model_name="m"} 5\n',
    ]
    histogram = _engine(WAITING + b"".join(lines)).request_prompt_tokens
    assert histogram is not None
    assert histogram.cumulative == (2.0, 5.0)


def test_a_last_line_without_newline_is_not_trusted() -> None:
    """The number at the end of a body that was cut off may be short of digits."""
    scrape = ExpositionReader().read(WAITING + RUNNING + b"12", at=0.0)
    assert scrape.engines == (EngineSample(EngineKey("m", "0"), waiting=5.0),)
    assert scrape.bad_lines == 1
    assert ExpositionReader().read(WAITING + b"# EOF", at=0.0).bad_lines == 0


def test_nothing_of_one_scrape_is_in_the_next() -> None:
    """A series that is gone is unknown, and an engine that is gone is not shown."""
    reader = ExpositionReader()
    other = b'vllm:num_requests_running{engine="1",model_name="m"} 1\n'
    assert len(reader.read(RUNNING + b"3\n" + WAITING + other, at=0.0).engines) == 2
    assert reader.read(WAITING, at=1.0).engines == (EngineSample(EngineKey("m", "0"), waiting=5.0),)
    assert reader.read(b"", at=2.0).engines == ()
    assert len(reader.read(RUNNING + b"3\n" + WAITING + other, at=3.0).engines) == 2


def test_a_broken_scrape_can_be_given_up() -> None:
    """After reset the bytes fed before it, half a line included, are forgotten."""
    reader = ExpositionReader()
    reader.feed(RUNNING + b"3\n" + b"vllm:num_req")
    reader.reset()
    scrape = reader.read(WAITING, at=0.0)
    assert scrape.engines == (EngineSample(EngineKey("m", "0"), waiting=5.0),)
    assert scrape.bad_lines == 0


def _buckets(*buckets: tuple[str, float]) -> bytes:
    name = "vllm:request_prompt_tokens_bucket"
    lines = (f'{name}{{engine="0",le="{edge}",model_name="m"}} {count}\n' for edge, count in buckets)
    return WAITING + "".join(lines).encode()


def test_buckets_in_any_order() -> None:
    """Edges rise in the histogram, whatever the order of the lines; sum and count may be missing."""
    histogram = _engine(_buckets(("+Inf", 9), ("100.0", 7), ("5", 1))).request_prompt_tokens
    assert histogram is not None
    assert (histogram.edges, histogram.cumulative) == ((5.0, 100.0, inf), (1.0, 7.0, 9.0))
    assert (histogram.total, histogram.count) == (None, None)


def test_a_torn_histogram_is_tolerated() -> None:
    """A scrape is no atomic snapshot: count may differ from the last bucket."""
    count = b'vllm:request_prompt_tokens_count{engine="0",model_name="m"} 10\n'
    histogram = _engine(_buckets(("5", 1), ("+Inf", 9)) + count).request_prompt_tokens
    assert histogram is not None
    assert (histogram.cumulative[-1], histogram.count) == (9.0, 10.0)


def test_a_histogram_whose_counts_decrease_is_dropped() -> None:
    """Cumulative counts cannot decrease, so such a histogram is unknown; the engine is still there."""
    engine = _engine(_buckets(("5", 3), ("10", 2), ("+Inf", 9)))
    assert engine.request_prompt_tokens is None
    assert engine.waiting == 5.0


def test_a_bucket_without_a_number_is_left_out() -> None:
    """A bucket whose edge or count is no number leaves the others as they are."""
    histogram = _engine(_buckets(("5", 3), ("10", float("nan")), ("wide", 4), ("+Inf", 9))).request_prompt_tokens
    assert histogram is not None
    assert (histogram.edges, histogram.cumulative) == ((5.0, inf), (3.0, 9.0))


@pytest.mark.parametrize(("waiting", "usage"), [(4, 0.3), (0, 0.1)])
def test_one_usage_for_several_api_servers(waiting: int, usage: float) -> None:
    """The middle report counts while there is work; without any, the lowest, since an older one can only be high."""
    body = f'vllm:num_requests_running{{model_name="m"}} 0\nvllm:num_requests_waiting{{model_name="m"}} {waiting}\n'
    for pid, value in ((1, 0.3), (2, 0.9), (3, 0.1)):
        body += f'vllm:kv_cache_usage_perc{{model_name="m",pid="{pid}"}} {value}\n'
    assert _engine(body.encode()).kv_usage_ratio == usage


def test_counters_split_by_an_unknown_label_add_up() -> None:
    """A label that gauges lack tells no engines apart: it splits the counts of one into parts."""
    body = RUNNING + b"2\n" + WAITING
    for part in (b"a", b"b"):
        body += b'vllm:prompt_tokens_total{engine="0",model_name="m",new="%s"} 10\n' % part
    engine = _engine(body)
    assert (engine.running, engine.prompt_tokens) == (2.0, 20.0)


def test_a_sum_of_which_a_part_is_not_known_is_unknown() -> None:
    """The requests that finished for another reason are not all that finished."""
    text = b'vllm:num_requests_running{model_name="m",engine="0"} 1\n' + b"".join(
        b'vllm:request_success_total{model_name="m",engine="0",finished_reason="%s"} %s\n' % (reason, value)
        for reason, value in ((b"stop", b"7"), (b"length", b"NaN"))
    )
    (engine,) = ExpositionReader().read(text, at=0.0).engines
    assert engine.finished is None
    (engine,) = ExpositionReader().read(text.replace(b"NaN", b"2"), at=0.0).engines
    assert engine.finished == 9.0


def test_the_old_name_counts_where_the_new_one_has_no_number() -> None:
    """A newer name that is NaN does not hide the older one."""
    body = b'vllm:kv_cache_usage_perc{model_name="m"} NaN\nvllm:gpu_cache_usage_perc{model_name="m"} 0.5\n'
    assert _engine(body).kv_usage_ratio == 0.5


def test_engines_in_order_of_number() -> None:
    """Engine 10 comes after engine 9, and models are together."""
    body = "".join(
        f'vllm:num_requests_running{{engine="{engine}",model_name="{model}"}} 1\n'
        for engine in (10, 9, 0)
        for model in ("b", "a")
    )
    engines = ExpositionReader().read(body.encode(), at=0.0).engines
    assert [(e.key.model_name, e.key.engine) for e in engines] == [
        ("a", "0"),
        ("a", "9"),
        ("a", "10"),
        ("b", "0"),
        ("b", "9"),
        ("b", "10"),
    ]


@pytest.mark.parametrize("value", ["1e308", "-1e308", "1e19", "+Inf"])
def test_numbers_that_no_server_can_have_are_unknown(value: str) -> None:
    """They would overflow where they are added up or squared."""
    lines = [f'vllm:{name}{{model_name="m"}} {value}\n' for name in ("num_requests_running", "kv_cache_usage_perc")]
    lines += [f'vllm:prompt_tokens_total{{model_name="m",new="{part}"}} {value}\n' for part in "ab"]
    lines += [
        f'vllm:request_success_total{{model_name="m",finished_reason="{why}"}} {value}\n' for why in ("stop", "length")
    ]
    lines += [f'vllm:request_prompt_tokens_bucket{{model_name="m",le="{edge}"}} {value}\n' for edge in ("1", "+Inf")]
    engine = _engine("".join(lines).encode())
    assert (engine.running, engine.prompt_tokens, engine.kv_usage_ratio, engine.finished) == (None,) * 4
    assert engine.request_prompt_tokens is None
