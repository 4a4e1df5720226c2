"""The two Grafana dashboards, built from Python; ``python -m dashboards`` writes ``fleet.json`` and ``engine.json``."""
