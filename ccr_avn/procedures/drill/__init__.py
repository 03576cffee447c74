"""A drill: all of a failover, on a temporary replica of a real primary."""
