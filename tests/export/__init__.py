"""What leaves kvwatch."""
