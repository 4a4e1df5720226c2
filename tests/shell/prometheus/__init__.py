"""A Prometheus asked for what it has kept."""
