"""The core over the past of many servers."""
