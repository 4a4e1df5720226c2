"""Scrapes on disk: written by ``kvwatch record``, and read again as if they came from a live server."""
