"""What an engine sustains for its traffic, how near it is, and how long that is enough."""
