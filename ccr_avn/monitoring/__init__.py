"""Monitoring: all pairs at once (status), one pair over time (watch)."""
