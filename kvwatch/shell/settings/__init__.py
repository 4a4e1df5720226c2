"""Where vLLM's settings are looked for beside its metrics and its log: its API, its process, and its pod."""
