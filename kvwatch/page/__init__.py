"""The live page: what it remembers of the last hour, what it sends to a browser, and the browser's part of it."""
