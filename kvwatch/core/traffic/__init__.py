"""What is asked of an engine: arrivals, lengths, demand, the queue, and whose requests they are."""
