"""A pair over time: a sample every second, what changed between two of them, and figures over all of them."""
