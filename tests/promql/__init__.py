"""Rules evaluated without a Prometheus."""
