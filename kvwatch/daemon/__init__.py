"""The composition root: where configuration, core, shell and clocks meet, and nowhere else.

One event loop owns all state. A :class:`Daemon` holds what lives as long as the process (``running``), a ``Watch``
what lives as long as one target (``watches``). ``parts``, ``ingest``, ``sources`` and ``found`` make what the shell
needs from the configuration and from what discovery finds.
"""

from kvwatch.daemon.running import Daemon

__all__ = ["Daemon"]
