"""All parts together: engine, kvwatch, Prometheus, Alertmanager, a webhook."""
