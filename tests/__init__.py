"""Tests, by the package they are about; `vllm` holds those against a real server."""
