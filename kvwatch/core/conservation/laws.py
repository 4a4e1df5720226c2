"""Laws between counts of requests and tokens: which of several numbers that must be the same is not.

Each takes the sums of a window and the factor from which two numbers contradict each other. vLLM writes all that a law
compares in one call (``v1/metrics/loggers.py``, ``record``), so what is still inside an engine makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvwatch.core.conservation.contradiction import Contradiction, apart, odd_ones
from kvwatch.core.conservation.sums import Sums

_EDGE_RATIO = 1.1
"""Factor by which the sum of a histogram may be outside the edges of its buckets [1]. Choice: both are of the same
values; of thirty requests a scrape may show one in the buckets and not yet in the sum."""
_LEAST_SHARE = 0.1
"""Share of the tokens of the steps that prompts are, from which on it is judged [1]. Choice: a torn scrape shows
less."""
_HISTOGRAMS = {"prompts": "request_prompt_tokens", "outputs": "request_generation_tokens"}
"""The fields that the two counts of finished requests by length are of."""


def contradicted_requests(sums: Sums, ratio: float) -> Sequence[Contradiction]:
    """A request that finishes is counted once, and once in each histogram of lengths."""
    counts = sums.known("finished", "prompts", "outputs")
    odd = odd_ones(counts, ratio)
    begun = sums.get("first_token_count")
    if odd == counts.keys() and begun is not None:
        near = {name for name, count in counts.items() if not apart(count, begun, ratio)}
        odd = odd - near if near else odd
    fields = {_HISTOGRAMS.get(name, name): name in odd for name in counts}
    return _against(fields, otherwise="first_token_count")


def contradicted_generation(sums: Sums, ratio: float) -> Sequence[Contradiction]:
    """A token is counted when it is made, as a request's first or with the time since the last one, and in its step.

    With speculation a step makes several tokens of a request, of which only one has a time; vLLM counts its drafts.
    """
    made, steps = sums.get("generation_tokens"), sums.get("step_tokens")
    first, after = sums.get("first_token_count"), sums.get("inter_token_count")
    if made is None or first is None or after is None or not made + after:
        return ()  # a server that pools or embeds has first outputs without a token
    outputs, bounds = first + after, _of_steps(sums)
    numbers = {"generation_tokens": made, "inter_token_count": outputs}
    if bounds is not None and steps is not None:
        least, most = bounds
        if made > ratio * most or ratio * made < least:  # of the bounds the one that it is beyond
            numbers["step_tokens"] = most if made > most else least
        elif not apart(most, least, ratio):
            numbers["step_tokens"] = made
    odd = odd_ones(numbers, ratio)
    if "step_tokens" not in numbers:
        # outputs are never more than tokens; with speculation tokens may be more than outputs
        if outputs > made:
            odd &= {"generation_tokens"}
        elif sums.get("spec_decode_drafts"):
            odd = set()
    elif outputs < made and sums.get("spec_decode_drafts"):
        odd -= {"inter_token_count"}
    return [c for c in _against({name: name in odd for name in numbers}, "steps") if c.field != "step_tokens"]


def _of_steps(sums: Sums) -> tuple[float, float] | None:
    """The fewest and the most tokens of the steps that were generated: what is left without prompts.

    Some versions count all of a prompt in its step, others what the cache did not have.
    """
    steps, prompts, computed = sums.get("step_tokens"), sums.get("prompt_tokens"), sums.get("prompt_tokens_computed")
    if steps is None or prompts is None:
        return None
    return max(steps - prompts, 0.0), max(steps - (computed or 0.0), 0.0)


def contradicted_prompts(sums: Sums, ratio: float) -> Sequence[Contradiction]:
    """What the steps computed of the prompts is no more than the prompts."""
    taken, steps, made = sums.get("prompt_tokens"), sums.get("step_tokens"), sums.get("generation_tokens")
    outputs = (sums.get("first_token_count") or 0.0) + (sums.get("inter_token_count") or 0.0)
    if taken is None or steps is None or not made:
        return ()
    computed = steps - max(made, outputs)
    if computed < _LEAST_SHARE * steps or computed < ratio * taken:
        return ()
    return [Contradiction("prompt_tokens", ("step_tokens", "generation_tokens"))]


def contradicted_starts(sums: Sums, ratio: float) -> Sequence[Contradiction]:
    """A request's prompt is counted at its first token, so that these are as many as prompts go into what was counted.

    How long a prompt is show those that finished. First tokens that are fewer are no contradiction: long prompts are
    given up more often than short ones.
    """
    begun, prompts = sums.get("first_token_count"), sums.get("prompt_tokens")
    count, lengths = sums.get("prompts"), sums.get("prompt_lengths")
    if begun is None or prompts is None or not count or not lengths:
        return ()
    by_tokens = prompts * count / lengths
    if begun < ratio * max(by_tokens, count):
        return ()
    return [Contradiction("first_token_count", ("prompt_tokens", "finished"))]


def contradicted_finishes(sums: Sums, ratio: float) -> Sequence[Contradiction]:
    """Who finishes has begun, within what was counted or before, when more ran by as many as are fewer now.

    Those that were evicted began long ago and wait: while there may be any, nothing follows. Where the prompts of those
    that finished are more than those that were counted at first tokens as well, all counts of finished requests are too
    many.
    """
    begun, prompts, fall = sums.get("first_token_count"), sums.get("prompt_tokens"), sums.get("running_fall")
    counts, lengths = sums.known("finished", "prompts", "outputs"), sums.get("prompt_lengths")
    count = counts.get("prompts")
    if begun is None or prompts is None or fall is None or not count or not lengths:
        return ()
    if sums.get("evicted_waiting") != 0:
        return ()
    left = max(fall, 0.0)
    many = min(counts.values()) >= ratio * (begun + left)
    if not many or lengths < ratio * (prompts + left * lengths / count):
        return ()
    return [Contradiction(_HISTOGRAMS.get(name, name), ("first_token_count", "prompt_tokens")) for name in counts]


def contradicted_lengths(sums: Sums, _ratio: float) -> Sequence[Contradiction]:
    """The sum of a histogram of lengths is between the lower and the upper edges of its buckets, summed up."""
    return [
        Contradiction(field, (field + "/_bucket",))
        for name, field in (("prompt", "request_prompt_tokens"), ("output", "request_generation_tokens"))
        if _is_beyond(sums, sums.get(name + "_lengths"), name)
    ]


def contradicted_seconds(sums: Sums, _ratio: float) -> Sequence[Contradiction]:
    """So is the sum of the times between tokens: counts that are scaled without their times show here."""
    if _is_beyond(sums, sums.get("inter_token_seconds_sum"), "inter_token"):
        return [Contradiction("inter_token_seconds_sum", ("inter_token_seconds/_bucket",))]
    return ()


def _is_beyond(sums: Sums, total: float | None, name: str) -> bool:
    """Whether a sum is outside of what its buckets allow."""
    least, most = sums.get(name + "_least"), sums.get(name + "_most")
    if total is None or least is None or most is None:
        return False
    return total * _EDGE_RATIO < least or total > _EDGE_RATIO * most


def _against(fields: dict[str, bool], otherwise: str) -> Sequence[Contradiction]:
    """The contradictions of those fields that are odd, against those that are not; all of them against each other."""
    right = tuple(field for field, odd in fields.items() if not odd) or (otherwise,)
    odd_fields = [field for field, odd in fields.items() if odd]
    return [Contradiction(field, tuple(other for other in right if other != field)) for field in odd_fields]
