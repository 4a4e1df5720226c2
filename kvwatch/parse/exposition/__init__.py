"""One target's expositions: text in pieces, then one sample for each engine.

From the bottom up: a line (``line``), all lines of one exposition (``samples``, and ``shape`` where they are those of
the exposition before), a server's names by version (``tables``, ``vllm``) whatever stands in front of them (``names``),
which labels tell engines apart (``identity``, ``cache_owners``), one engine's numbers (``places``, ``numbers``,
``cache_config``), all engines (``engines``) or why there is none (``refusals``), and what puts all of it together
(``reader``).
"""

from kvwatch.parse.exposition.reader import ExpositionReader

__all__ = ["ExpositionReader"]
