"""The first minutes of an overload."""
