"""Memory-work by acting out the steps of a request: the oracle for every formula of it."""

from __future__ import annotations

from functools import cache


@cache
def held_step_by_step(prompt: int, output: int, block: int, chunk: int) -> tuple[int, ...]:
    """Block tokens held in each step that a request lives.

    A step computes a chunk of the prompt or one decoded token; KV is written for what is computed, so the last
    token that is generated is never held. Blocks are allocated whole before the step.
    """
    held = []
    computed = generated = 0
    while generated < output:
        known = prompt + generated
        now = min(chunk, known - computed) if computed < prompt else 1
        computed += now
        held.append(-(-computed // block) * block)
        generated += computed == prompt + generated
    return tuple(held)
