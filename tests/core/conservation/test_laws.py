"""Which of several numbers a law blames, and whom it names against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from kvwatch.core.conservation import laws
from kvwatch.core.conservation.contradiction import Contradiction
from kvwatch.core.conservation.sums import Sums

RATIO = 1.5
PROMPTS, OUTPUTS = "request_prompt_tokens", "request_generation_tokens"
Law = Callable[[Sums, float], Sequence[Contradiction]]


def judged(law: Law, **numbers: float) -> dict[str, tuple[str, ...]]:
    """What a law blames, with what it contradicts; numbers that are not given are not shown."""
    names = (
        "finished prompts outputs first_token_count inter_token_count generation_tokens prompt_tokens step_tokens"
        " prompt_tokens_computed spec_decode_drafts running_fall evicted_waiting prompt_lengths prompt_least"
        " prompt_most output_lengths output_least output_most"
    )
    sums = Sums(frozenset(names.split()))
    sums.add(numbers)
    return {found.field: found.against for found in law(sums, RATIO)}


@pytest.mark.parametrize(
    ("begun", "blamed"),
    [
        (190.0, {"finished": (PROMPTS,), OUTPUTS: (PROMPTS,)}),
        (120.0, {PROMPTS: ("finished",), OUTPUTS: ("finished",)}),
        (
            1000.0,
            {"finished": ("first_token_count",), PROMPTS: ("first_token_count",), OUTPUTS: ("first_token_count",)},
        ),
    ],
)
def test_of_three_counts_that_all_differ_the_first_tokens_confirm_one(
    begun: float, blamed: dict[str, tuple[str, ...]]
) -> None:
    """100, 200 and 400 requests: that which as many began as is right; none where none is near."""
    law = laws.contradicted_requests
    assert judged(law, finished=100.0, prompts=200.0, outputs=400.0, first_token_count=begun) == blamed


def test_of_three_counts_of_requests_two_that_agree_blame_the_third() -> None:
    """Whatever began; two alone blame each other, and what is within the factor is no contradiction."""
    law = laws.contradicted_requests
    assert judged(law, finished=100.0, prompts=200.0, outputs=210.0, first_token_count=100.0) == {
        "finished": (PROMPTS, OUTPUTS)
    }
    two = {"finished": ("first_token_count",), PROMPTS: ("first_token_count",)}
    assert judged(law, finished=100.0, prompts=200.0) == two
    assert not judged(law, finished=100.0, prompts=149.0, outputs=100.0)


@pytest.mark.parametrize(
    ("numbers", "blamed"),
    [
        ({"generation_tokens": 1000.0}, set()),
        ({"generation_tokens": 2000.0}, {"generation_tokens"}),
        ({"generation_tokens": 500.0}, {"generation_tokens"}),
        ({"inter_token_count": 400.0}, {"inter_token_count"}),
        ({"step_tokens": 9000.0}, set()),
        # three tokens a step, of which one has a time
        ({"generation_tokens": 3000.0, "step_tokens": 3500.0, "spec_decode_drafts": 900.0}, set()),
        # without steps: tokens that are fewer than outputs are wrong whatever is speculated
        ({"step_tokens": None, "generation_tokens": 500.0}, {"generation_tokens"}),
        ({"step_tokens": None, "generation_tokens": 500.0, "spec_decode_drafts": 900.0}, {"generation_tokens"}),
        ({"step_tokens": None, "generation_tokens": 3000.0}, {"generation_tokens", "inter_token_count"}),
        ({"step_tokens": None, "generation_tokens": 3000.0, "spec_decode_drafts": 900.0}, set()),
        ({"inter_token_count": None}, set()),
        ({"first_token_count": None}, set()),
        ({"generation_tokens": 0.0, "inter_token_count": 0.0}, set()),
    ],
)
def test_tokens_that_are_made_are_those_with_a_time_and_those_of_the_steps(
    numbers: dict[str, float | None], blamed: set[str]
) -> None:
    """100 first tokens, 900 more, 1500 in the steps of which 500 are prompts."""
    usual: dict[str, float | None] = {
        "first_token_count": 100.0,
        "inter_token_count": 900.0,
        "generation_tokens": 1000.0,
        "step_tokens": 1500.0,
        "prompt_tokens": 500.0,
        "prompt_tokens_computed": 500.0,
    }
    shown = {name: value for name, value in (usual | numbers).items() if value is not None}
    assert set(judged(laws.contradicted_generation, **shown)) == blamed


@pytest.mark.parametrize(
    ("prompts", "steps", "wrong"),
    [(500.0, 1749.0, False), (500.0, 1750.0, True), (70.0, 1110.0, False), (70.0, 1112.0, True)],
)
@pytest.mark.parametrize("made", [1000.0, 700.0])
def test_prompts_that_are_fewer_than_what_the_steps_computed_of_them_are_wrong(
    prompts: float, steps: float, wrong: bool, made: float
) -> None:
    """1000 outputs are made, whatever the tokens say; the rest is of prompts: a tenth of all, 1.5 times as many."""
    found = judged(
        laws.contradicted_prompts,
        prompt_tokens=prompts,
        step_tokens=steps,
        generation_tokens=made,
        first_token_count=100.0,
        inter_token_count=900.0,
    )
    assert found == ({"prompt_tokens": ("step_tokens", "generation_tokens")} if wrong else {})


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, True),
        ({"first_token_count": 101.0}, False),
        ({"prompt_tokens": 1010.0}, False),
        ({"running_fall": 40.0}, False),
        ({"running_fall": -40.0}, True),
        ({"finished": 149.0}, False),
        ({"running_fall": None}, False),
        ({"evicted_waiting": 1.0}, False),
        ({"evicted_waiting": None}, False),
        ({"first_token_count": None}, False),
    ],
)
def test_those_that_finish_have_begun_within_the_window_or_before(
    changes: dict[str, float | None], wrong: bool
) -> None:
    """150 finished, 100 began, with prompts of 10 tokens; what began before is missing where others run, or waits."""
    usual: dict[str, float | None] = {
        "finished": 150.0,
        "prompts": 150.0,
        "outputs": 150.0,
        "first_token_count": 100.0,
        "prompt_tokens": 1000.0,
        "prompt_lengths": 1500.0,
        "running_fall": 0.0,
        "evicted_waiting": 0.0,
    }
    shown = {name: value for name, value in (usual | changes).items() if value is not None}
    against = ("first_token_count", "prompt_tokens")
    found = judged(laws.contradicted_finishes, **shown)
    assert found == (dict.fromkeys(("finished", PROMPTS, OUTPUTS), against) if wrong else {})


@pytest.mark.parametrize(
    ("begun", "finished", "wrong"), [(149.0, 90.0, False), (150.0, 90.0, True), (194.0, 130.0, False)]
)
def test_first_tokens_are_no_more_than_prompts_go_into_what_was_counted(
    begun: float, finished: float, wrong: bool
) -> None:
    """20,000 prompt tokens at 200 a request are 100 requests; 90 of them finished, or with those before 130."""
    found = judged(
        laws.contradicted_starts,
        first_token_count=begun,
        prompt_tokens=20_000.0,
        prompts=finished,
        prompt_lengths=200 * finished,
    )
    assert found == ({"first_token_count": ("prompt_tokens", "finished")} if wrong else {})


@pytest.mark.parametrize(
    ("total", "wrong"), [(90.0, True), (92.0, False), (100.0, False), (200.0, False), (219.0, False), (221.0, True)]
)
def test_the_sum_of_lengths_is_within_the_edges_of_its_buckets(total: float, wrong: bool) -> None:
    """Between 100 and 200 tokens, and a tenth to either side."""
    for name, field in (("prompt", PROMPTS), ("output", OUTPUTS)):
        numbers = {f"{name}_lengths": total, f"{name}_least": 100.0, f"{name}_most": 200.0}
        assert judged(laws.contradicted_lengths, **numbers) == ({field: (field + "/_bucket",)} if wrong else {})
