"""The exposition format and vLLM's names in it."""
