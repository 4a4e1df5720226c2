"""What reports are made of, whatever they are about: one page that needs nothing else, its style, its tables."""
