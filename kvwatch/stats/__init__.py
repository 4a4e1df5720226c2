"""Streaming estimators, one to a file: fed with numbers and times; unknown is ``None``."""
