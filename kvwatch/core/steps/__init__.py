"""How long the steps of an engine take: now, and by the law that its load follows."""
