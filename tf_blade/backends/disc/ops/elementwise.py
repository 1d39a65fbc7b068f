"""Op rules."""
