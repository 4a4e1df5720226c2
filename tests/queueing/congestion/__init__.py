"""Service-induced congestion: theory and model."""
