"""What kvwatch costs beside a reference of the same run: CPU of a scrape, memory, start; and memory after faults."""
