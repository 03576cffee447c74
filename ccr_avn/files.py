"""Writes files atomically, for other programs to pick up."""

import os
import tempfile
from pathlib import Path

PRIVATE, PUBLIC = 0o600, 0o644


def target_of(path: Path) -> Path:
    """Where a symbolic link leads, also if nothing is there; a circle of them leads nowhere, and stays."""
    return Path(os.path.realpath(path))  # `Path.resolve` raises in a circle


def replace_file(path: Path, text: str, mode: int = PRIVATE) -> None:
    """Put ``text`` in the place of ``path`` atomically; until then only its owner can read it.

    A symbolic link stays one: who reads what it points to is to read this.

    Raises: OSError: it can't be written; ``path`` is then as it was.
    """
    path = target_of(path)
    # node_exporter reads *.prom: the name of the file in the making must not end like that.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
