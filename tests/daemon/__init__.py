"""The whole daemon."""
