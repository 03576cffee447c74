"""The only room that talks to servers."""
