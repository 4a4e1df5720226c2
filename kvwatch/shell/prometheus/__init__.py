"""A Prometheus asked for what it has kept: which servers, their samples as scraped, and expressions over time."""
