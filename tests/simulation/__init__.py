"""Every accident, by the thousand: the real code against a simulated world in simulated time."""
