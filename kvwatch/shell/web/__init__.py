"""kvwatch's own port: what it serves, to how many, and with which certificate."""
