"""Conservation laws between the metrics of one engine: what breaks them is not believed."""
