"""kvwatch's own port."""
