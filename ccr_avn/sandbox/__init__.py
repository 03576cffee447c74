"""An Aiven API on loopback with real Valkey servers behind it, for rehearsals without an account."""
