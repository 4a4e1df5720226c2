"""Who may use kvwatch's own ports, and how they are protected on the way."""
