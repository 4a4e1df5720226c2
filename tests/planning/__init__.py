"""How many replicas, of what, set how."""
