"""What is known, kept over a restart: the file, what is put into it, and what is kept of targets that are gone."""
