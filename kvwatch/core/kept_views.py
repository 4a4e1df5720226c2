"""Views of a server's engines that are made ahead and shown until there are others: when, and which of them still hold.

With many targets views are made in turn, not when somebody asks.
"""

from __future__ import annotations

from collections.abc import Collection

from kvwatch.facts import EngineKey
from kvwatch.views import EngineView

_KEPT_SECONDS = 5.0
"""Least time between two makings of a view that is kept [s]. Choice: less than any scrape interval of Prometheus in
use, so that none gets the same view twice."""


class KeptViews:
    """The last views that were made, and when [unix s]."""

    def __init__(self) -> None:
        self._views: tuple[EngineView, ...] = ()
        self.at = float("-inf")

    def are_due(self, scraped_at: float, now: float) -> bool:
        """Whether a scrape is newer than they are, and they were not made a few seconds ago."""
        return scraped_at > self.at and now - self.at >= _KEPT_SECONDS

    def keep(self, views: tuple[EngineView, ...], now: float) -> None:
        """Have these from now on."""
        self._views, self.at = views, now

    def of(self, fresh: Collection[EngineKey]) -> tuple[EngineView, ...]:
        """Those of engines that are fresh still."""
        return tuple(view for view in self._views if _key(view) in fresh)

    def missing(self, fresh: Collection[EngineKey]) -> tuple[str, ...]:
        """Models of the fresh engines that have no view yet."""
        viewed = {_key(view) for view in self._views}
        return tuple(key.model_name for key in fresh if key not in viewed)


def _key(view: EngineView) -> EngineKey:
    return EngineKey(view.model_name, view.engine)
