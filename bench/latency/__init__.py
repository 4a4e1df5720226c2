"""How far the predicted latency is from the embedded engine's own, over twenty workloads."""
