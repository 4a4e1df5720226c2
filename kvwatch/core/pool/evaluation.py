"""When the numbers of a pool are made, and how far back they look: the same times as the recording rules have.

Where several kvwatch see a part of a model each, Prometheus adds them up and makes the number of replicas. One answer
for both takes the same samples at the same times. So a pool is evaluated as often as Prometheus evaluates the rules,
and windows end half an interval before a round time: a range that begins at the very time of a sample holds it in one
version of Prometheus and not in another.
"""

from __future__ import annotations

from kvwatch.constants import MINUTE_SECONDS

EVALUATION_SECONDS = 15.0
"""Time between two evaluations of a pool [s]. Choice: as often as the shortest scrape interval that the rules are made
for; the number of replicas is late by no more."""
MEAN_SECONDS = 5 * MINUTE_SECONDS - 5.0
"""Window over which λ is a mean, and in which a larger number of replicas still counts [s]. Choice: λ of 3/s is known
to 3% after five minutes, and a number that falls five minutes after λ has fallen flaps with no traffic that is back by
then."""
MEMORY_SECONDS = 10 * MINUTE_SECONDS - 5.0
"""How long what was known last stands for what is not known now [s]. Choice: as long as a replica takes to start, by
default."""
FIRST_SECONDS = MINUTE_SECONDS
"""How long a number must have been known before it is the first [s]. Choice: a Prometheus that has just started has
scraped all within one interval, and the longest that the rules are made for is a minute."""
FIRST_WITHIN_SECONDS = 30.0
"""Width of the window in which it was [s]. Choice: two evaluations, one of which may fail."""
CLOCK_SECONDS = 0.5
"""What an evaluation may be early by [s]. Choice: callers come on timers that are a little early or late."""
UNREADABLE_SECONDS = 60 * MINUTE_SECONDS - 5.0
"""How long an engine counts as one whose target does not answer [s]. Choice: what it gets is not known, so that the
others are no majority beside it; a server that is gone for good is taken off the list long before."""
