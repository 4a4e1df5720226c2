"""One target's expositions: text in pieces, then one sample for each engine.

From the bottom up: a line (``line``), all lines of one exposition (``samples``, and ``shape`` where they are those of
the exposition before), vLLM's names by version (``vllm``), one engine's numbers (``numbers``, ``engines``,
``cache_config``), and what puts all of it together (``reader``).
"""

from kvwatch.parse.exposition.reader import ExpositionReader

__all__ = ["ExpositionReader"]
