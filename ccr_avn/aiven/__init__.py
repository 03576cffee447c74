"""Calls of avn and the parsing of its answers; doctor's checks."""
