"""Traces of requests as others publish them; the lines are made up, the columns are theirs."""

from __future__ import annotations

import pytest

from kvwatch.parse.traces import TracedRequest, TraceError, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([AZURE, "2023-11-16 18:00:01.5000000,400,40"], TracedRequest(1700157601.5, 400, 40)),
        ([AZURE, "2024-05-10 00:00:00.009930+00:00,2162,5"], TracedRequest(1715299200.00993, 2162, 5)),
        ([BURST, "5,ChatGPT,472,18,490,Conversation log"], TracedRequest(5.0, 472, 18)),
        (
            ['{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46]}'],
            TracedRequest(27.482, 6955, 52),
        ),
        (['{"arrival": 10.5, "finish": 12.0, "prompt_tokens": 7, "completion_tokens": 3}'], TracedRequest(10.5, 7, 3)),
        (
            [
                '{"metadata": {"request_start_ns": 2000000000}, "metrics": {"input_sequence_length": {"value": 550, '
                '"unit": "tokens"}, "output_sequence_length": {"value": 25, "unit": "tokens"}}}'
            ],
            TracedRequest(2.0, 550, 25),
        ),
        (['{"start_time": 3.25, "info": {"input_tokens": 12, "output_tokens": 9}}'], TracedRequest(3.25, 12, 9)),
    ],
    ids=["azure 2023", "azure 2024", "burstgpt", "mooncake", "kvwatch", "aiperf", "inference-perf"],
)
def test_columns_of_many_kinds_are_known(lines: list[str], found: TracedRequest) -> None:
    """Times in their units, lengths in tokens."""
    (request,), bad = read_trace(lines)
    assert bad == 0
    assert (request.prompt_tokens, request.output_tokens) == (found.prompt_tokens, found.output_tokens)
    assert request.at == pytest.approx(found.at, abs=1e-5)


def test_lines_that_hold_no_request_are_counted() -> None:
    """Failed ones of no output, damaged ones, and ones of another kind; the order is that of arrival."""
    lines = [BURST, "9,m,3,4,7,x", "5,m,472,0,472,x", "x,m,1,1,2,x", "1", "2,m,1,nan,2,x", "4,m,1,2,3,x"]
    found, bad = read_trace(lines)
    assert [request.at for request in found] == [4.0, 9.0]
    assert bad == 4


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "line 1: no column timestamp or arrival"),
        (["a,b", "1,2"], "among a, b"),
        (["timestamp,prompt_tokens", "1,2"], "no column generatedtokens or response tokens"),
        (["{}", "not json"], "no line holds a request"),
        ([AZURE, "2023-11-16,0,0"], "no line holds a request"),
    ],
)
def test_what_is_no_trace_is_refused(lines: list[str], why: str) -> None:
    """With the place, and what it lacks."""
    with pytest.raises(TraceError, match=why):
        read_trace(lines)
