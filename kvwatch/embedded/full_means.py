"""Means of an engine that is kept full, from a run that is neither endless nor a whole number of waves.

Two things make plain means over a run wrong. Requests of like lengths that were admitted together end together, so that
a full engine works in waves, and a run ends somewhere within one. And what a run happens to serve is not quite the
traffic: a few long requests more or less weigh more than all else.

Against the first, steps are weighted by a trapezoid whose slopes are as long as a request runs: that is the mean of the
means over all windows that begin within one wave. Against the second, requests are not counted. In the long run what
they take of a resource is their rate times what one of them takes over its life (Little's law), and the resource that
binds is taken fully, so the rate follows from it and from the lives of the requests, and hardly scatters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvwatch.embedded.settings import RequestShape, SchedulerSettings

Array = npt.NDArray[np.float64]


class StepMeans(NamedTuple):
    """What is in one step, or in the mean step.

    ``decoding`` sequences, ``prefill_tokens`` and ``kv_tokens`` of blocks held are the n, p and K of the step law,
    ``prefill_share`` the share φ of steps with prompt tokens. ``prefilling`` requests computed those, of which
    ``recomputed_tokens`` once more after their output had begun. ``prompt_tokens`` are of requests whose output begins.
    A prompt whose last chunk is to come holds ``unfinished_tokens`` of the blocks. ``generated_tokens`` is output;
    ``finished`` and ``preempted`` are requests.
    """

    decoding: float
    prefilling: float
    prefill_tokens: float
    prefill_share: float
    recomputed_tokens: float
    prompt_tokens: float
    kv_tokens: float
    unfinished_tokens: float
    generated_tokens: float
    finished: float
    preempted: float


@dataclass(frozen=True, slots=True)
class MeanLife:
    """What a request takes over its life, in the mean over the traffic, blocks shared with nobody.

    Attributes:
        steps: E[T], steps from its first prompt chunk to its last token.
        chunks: Of those, steps that compute its prompt.
        token_steps: Tokens of the blocks that it holds, summed over the steps that make a token.
        unfinished_token_steps: The same over the steps that compute all but the last chunk of its prompt.
        prompt_tokens: E[s].
        output_tokens: E[o], as cut to the longest sequence.
        met_steps: E[T²]/E[T], the life of a request that one meets running: long ones are met more often.
    """

    steps: float
    chunks: float
    token_steps: float
    unfinished_token_steps: float
    prompt_tokens: float
    output_tokens: float
    met_steps: float


def mean_life(pool: Sequence[RequestShape], weights: Sequence[float] | None, settings: SchedulerSettings) -> MeanLife:
    """Walk through the life of each shape, step by step."""
    longest = min(settings.max_model_len, settings.kv_capacity_tokens)
    lives, block, chunk = [], settings.block_size_tokens, settings.max_num_batched_tokens
    for shape in pool:
        prompt = shape.prompt_tokens
        output = max(min(shape.output_tokens, longest - prompt), 1)  # the scheduler refuses what does not fit
        chunks = -(-prompt // chunk)
        steps = chunks - 1 + output
        unfinished, known = chunk * np.arange(1, chunks), prompt + np.arange(output)
        blocks = [float((-(-tokens // block) * block).sum()) for tokens in (known, unfinished)]
        lives.append((steps, chunks, *blocks, prompt, output, steps**2))
    *means, mean_square = np.average(np.array(lives, dtype=float), axis=0, weights=weights).tolist()
    mean_steps, mean_chunks, held, unfinished_held, mean_prompt, mean_output = means
    return MeanLife(mean_steps, mean_chunks, held, unfinished_held, mean_prompt, mean_output, mean_square / mean_steps)


def plain_means(steps: Array) -> StepMeans:
    """Means of the noted steps, one a row in the order of :class:`StepMeans`."""
    return _means(steps, np.ones(len(steps)))


def weighted_means(steps: Array) -> StepMeans:
    """Means of the noted steps, the first and the last weighing less, over as long as a request runs."""
    plain = plain_means(steps)
    running = plain.decoding + plain.prefilling
    run_steps = running / plain.finished if plain.finished else float(len(steps))
    return _means(steps, trapezoid(len(steps), run_steps))


def _means(steps: Array, weights: Array) -> StepMeans:
    return StepMeans(*(weights @ steps / weights.sum()).tolist())


def trapezoid(steps: int, slope_steps: float) -> Array:
    """Weights that rise over ``slope_steps``, stay, and fall as they rose; a triangle where the run is that short."""
    top = min(max(round(slope_steps), 1), (steps + 1) // 2)
    places = np.arange(steps)
    return np.minimum(np.minimum(places + 1, steps - places), top).astype(float)


def conserved(seen: StepMeans, life: MeanLife, settings: SchedulerSettings) -> StepMeans:
    """The long run's means: those at which the binding resource is held as fully as was seen.

    Where requests share blocks, what one holds depends on who else runs: there the means stay as they are.
    """
    if settings.enable_prefix_caching:
        return seen
    compute = life.prompt_tokens + life.output_tokens - 1
    held = life.token_steps + life.unfinished_token_steps
    again = seen.prefill_tokens - seen.prompt_tokens  # what evictions make the engine compute again
    # by resource: requests that it can hold at once, and requests a step as what was taken of it says
    by_resource = {
        "kv": (
            settings.kv_capacity_tokens * life.steps / held,
            (seen.kv_tokens - seen.unfinished_tokens) / life.token_steps,
        ),
        "seats": (float(settings.max_num_seqs), seen.generated_tokens / life.output_tokens),
        "budget": (
            settings.max_num_batched_tokens * life.steps / compute,
            (seen.decoding + seen.prefill_tokens - again) / compute,
        ),
    }
    _, per_step = min(by_resource.values())
    # the step that ends a second prefill makes a token, which is one step of decoding less
    decoding = max(per_step * (life.steps - life.chunks) - seen.preempted, 0.0)
    prefill = max(per_step * life.prompt_tokens + again, 0.0)
    scaled = prefill / seen.prefill_tokens if seen.prefill_tokens else 1.0
    return StepMeans(
        decoding=decoding,
        prefilling=seen.prefilling * scaled,
        prefill_tokens=prefill,
        prefill_share=1 - (1 - seen.prefill_share) ** scaled,
        recomputed_tokens=seen.recomputed_tokens,
        prompt_tokens=per_step * life.prompt_tokens,
        kv_tokens=per_step * life.token_steps + seen.unfinished_tokens,
        unfinished_tokens=seen.unfinished_tokens,
        generated_tokens=per_step * life.output_tokens,
        finished=per_step,
        preempted=seen.preempted,
    )
