"""kvwatch: how many requests per second a vLLM server can sustain for its traffic now, and how close it is."""

__version__ = "0.1.0"
