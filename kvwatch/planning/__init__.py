"""How many replicas, of what, set how: the same engine model as the live estimates, asked about loads yet to come."""
