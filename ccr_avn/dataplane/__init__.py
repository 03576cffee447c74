"""The only place that talks the Redis protocol."""
