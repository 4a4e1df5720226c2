"""What latency follows from the load, what load a latency target allows, and how many may wait for it."""
