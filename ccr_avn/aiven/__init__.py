"""Calls of avn and the parsing of its answers."""
