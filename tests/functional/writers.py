"""Where the writers were before; they are in tests.support.writers."""

from tests.support.writers import Load, Writer, packed

__all__ = ["Load", "Writer", "packed"]
