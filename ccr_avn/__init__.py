"""Cross-cluster replication of Aiven for Valkey / Redis services, with the official avn."""

__version__ = "0.1.0"
