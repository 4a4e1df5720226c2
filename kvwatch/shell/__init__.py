"""The only I/O: scraping, serving, recording, replaying. Time comes in as a callable; only the app names a clock."""
