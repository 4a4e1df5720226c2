"""Discovery: sources against real servers on the loopback address, and the daemon that follows them."""
