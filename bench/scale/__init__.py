"""A thousand engines scraped each second by one process on one core, and by Prometheus: ``python -m bench.scale``."""
