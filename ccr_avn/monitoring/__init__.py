"""Every pair at once (status), one pair over time (watch)."""
