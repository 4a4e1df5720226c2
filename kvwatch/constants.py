"""Numbers that more than one package needs: units of time, and what a number can be at all.

Every constant of kvwatch stands on a line of its own. The text below it says what it is, its unit in brackets ([1] for
a pure number), and where it comes from, in one of four forms: "Definition", "Data sheet: which", "Measured: by what",
or "Choice: why", with what half and double of it would do where that is not plain.
"""

from __future__ import annotations

MINUTE_SECONDS = 60.0
"""A minute [s]. Definition."""
MINUTE_SCRAPES = 120
"""Scrapes of a minute that are kept where what the newest ones show is judged together [scrapes]. Choice: a minute,
with one each half a second."""
HOUR_SECONDS = 3600.0
"""An hour [s]. Definition."""
DAY_SECONDS = 86_400.0
"""A day [s]. Definition."""
TINY = 1e-9
"""What counts as nothing beside 1 [1]. Choice: far below any measured share, far above the rounding of doubles."""
LATEST_UNIX_SECONDS = 1e12
"""A time that no clock shows [unix s]. Choice: 30,000 years from now; a state file with more than that is damaged."""
LATEST_DATE_SECONDS = 32_503_680_000.0
"""The beginning of the year 3000 [unix s]. Choice: no log and no recording is later, and every calendar goes on till
then."""
MOST_TOKENS = float(2**53)
"""A length or a cache that no server has [tokens]. Choice: beyond it a double no longer counts in ones."""
LARGEST_SUM = 1e60
"""A sum over requests that no server reaches [1]. Choice: squares of it, and the product
of four, are still numbers; a state file with more than that is damaged."""
CLOCK_SKEW_SECONDS = MINUTE_SECONDS
"""How far in the future the stamp of a log may lie [s]. Choice: hosts that keep time by NTP are apart by less than a
second; a minute and more is another zone, or a clock that nobody set."""
