"""What requests asked for against what was made for them: the same requests and the same tokens, counted in two places.

vLLM counts a token when it is made, and again, with all others of its request, when that finishes
(``v1/metrics/stats.py``); each output of a request is its first token or has the time since the last one. What is
inside when a count begins and when it ends makes the difference, so it goes over many times as many requests as run.
"""

from __future__ import annotations

from kvwatch.core.conservation.contradiction import (
    GROSS_RATIO,
    REFUTED_RATIO,
    RESTORED_RATIO,
    Contradiction,
    apart,
    odd_ones,
)
from kvwatch.core.conservation.sums import Flow, Sums

_FEW_TURNOVERS, _FEW_REQUESTS = 4.0, 20.0
"""Finished requests over those that run, and beyond, from which on a gross contradiction counts [1, requests]. Choice:
those inside have made at most twice what a mean request does, in the mean, so they are half of the count at most."""
_TURNOVERS, _REQUESTS = 20.0, 50.0
"""The same for any contradiction [1, requests]. Choice: those inside are then a tenth of the count."""
_LEAST_INTERVALS = 8.0
"""Intervals that a count goes over at least [intervals]. Choice: a scrape that is torn is an eighth of it at most."""
_ABORTED_RATIO = 1.2
"""First tokens over finished requests up to which those that were given up explain nothing [1]. Choice: a sixth of
the requests, which moves no mean by a half."""

_HISTOGRAMS = {"prompts": "request_prompt_tokens", "outputs": "request_generation_tokens"}
"""The fields that the counts of finished requests by length are of."""


class RequestsAndTokens:
    """Counts over the last requests of one engine."""

    def __init__(self) -> None:
        self._sums = Sums()
        self._found: dict[str, Contradiction] = {}

    def clear(self) -> None:
        """Forget all."""
        self._sums.clear()
        self._found = {}

    def count_again(self) -> None:
        """Those inside are others: what is counted so far says nothing of them."""
        self._sums.clear()

    def update(self, flow: Flow) -> dict[str, Contradiction]:
        """Take an interval; what is contradicted now, by field."""
        sums = self._sums
        sums.add(flow)
        requests = sorted(sums.known("finished", "prompts", "outputs").values())
        if not requests or sums.intervals < _LEAST_INTERVALS:
            return self._found
        count, inside = requests[(len(requests) - 1) // 2], self._inside()
        if count >= _TURNOVERS * inside + _REQUESTS:
            # one that was refuted must agree better to be believed again
            was = set(self._found)
            self._found = self._judged(REFUTED_RATIO)
            self._found |= {k: v for k, v in self._judged(RESTORED_RATIO).items() if k in was}
        elif count >= _FEW_TURNOVERS * inside + _FEW_REQUESTS:
            self._found = self._judged(GROSS_RATIO) | self._found
        if count >= 2 * (_TURNOVERS * inside + _REQUESTS) and sums.intervals >= 2 * _LEAST_INTERVALS:
            sums.halve()
        return self._found

    def _inside(self) -> float:
        """Requests that run, by the gauge or by the time that tokens took, whichever shows more."""
        known = self._sums.known("running_seconds", "inter_token_seconds_sum")
        return max(known.values(), default=0.0) / max(self._sums.get("seconds") or 0.0, 1e-9)

    def _judged(self, ratio: float) -> dict[str, Contradiction]:
        found = [*self._finished(ratio), *self._generated(ratio), *self._prompts(ratio)]
        return {contradiction.field: contradiction for contradiction in found}

    def _finished(self, ratio: float) -> list[Contradiction]:
        """A request that finishes is counted once, and once in each histogram of lengths."""
        counts = self._sums.known("finished", "prompts", "outputs")
        odd = odd_ones(counts, ratio)
        begun = self._sums.get("first_token_count")
        if len(odd) == len(counts) and begun is not None:
            near = {name for name in counts if not apart(counts[name], begun, ratio)}
            odd = odd - near if near else odd
        fields = {name: _HISTOGRAMS.get(name, name) for name in counts}
        others = tuple(fields[name] for name in counts if name not in odd) or ("first_token_count",)
        return [Contradiction(fields[name], tuple(o for o in others if o != fields[name])) for name in odd]

    def _generated(self, ratio: float) -> list[Contradiction]:
        """Tokens that were made: by their counter, by first tokens and those after, by those of finished requests."""
        made, lengths = self._sums.get("generation_tokens"), self._sums.get("output_lengths")
        first, after = self._sums.get("first_token_count"), self._sums.get("inter_token_count")
        if made is None or lengths is None or first is None or after is None or self._is_off("outputs", ratio):
            return []
        if lengths < max(made, first + after) and self._are_given_up():
            return []
        numbers = {"generation_tokens": made, "request_generation_tokens": lengths, "inter_token_count": first + after}
        odd = odd_ones(numbers, ratio)
        if "inter_token_count" in odd and first + after < made:
            # with speculation a step makes several tokens; where that is all, the two others agree
            odd = {"generation_tokens", "request_generation_tokens"} if apart(made, lengths, ratio) else set()
        return [Contradiction(name, tuple(other for other in numbers if other not in odd)) for name in odd]

    def _prompts(self, ratio: float) -> list[Contradiction]:
        """Prompt tokens: by their counter, by those of finished requests, and by what the steps computed of them."""
        taken, lengths = self._sums.get("prompt_tokens"), self._sums.get("prompt_lengths")
        if taken is None or lengths is None or not apart(taken, lengths, ratio) or self._is_off("prompts", ratio):
            return []
        if lengths < taken and self._are_given_up():
            return []
        numbers = {"prompt_tokens": taken, "request_prompt_tokens": lengths}
        steps, made = self._sums.get("step_tokens"), self._sums.get("generation_tokens")
        if steps is not None and made is not None and steps >= made:
            near = {name for name, number in numbers.items() if not apart(number, steps - made, ratio)}
            if len(near) == 1:
                (right,) = near
                (wrong,) = numbers.keys() - near
                return [Contradiction(wrong, (right,))]
        return [Contradiction(name, tuple(numbers.keys() - {name})) for name in numbers]

    def _is_off(self, histogram: str, ratio: float) -> bool:
        """Whether a histogram counts other requests than finished: its sum is then no evidence."""
        finished, counted = self._sums.get("finished"), self._sums.get(histogram)
        return finished is None or counted is None or apart(finished, counted, ratio)

    def _are_given_up(self) -> bool:
        """Whether so many requests got a first token and did not finish that what finished says little of the rest."""
        begun, finished = self._sums.get("first_token_count"), self._sums.get("outputs")
        if begun is None or not finished:
            return True
        return begun - self._inside() > _ABORTED_RATIO * finished
