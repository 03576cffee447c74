"""Moves every pair of a cloud: chooses and schedules them; each runs the plan that moves a single pair."""
