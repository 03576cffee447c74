"""Files for others to pick up: whole or as they were, never half-written."""

import os
import tempfile
from pathlib import Path

from ccr_avn.errors import UsageError


def write_for_all(path: Path, text: str) -> None:
    """Put ``text`` in the place of ``path`` at one stroke, readable by everybody: the collector is another user.

    Raises:
        UsageError: it can't be written; ``path`` is then as it was.
    """
    try:
        # node_exporter reads *.prom: the name of the file in the making must not end like that.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _refused(path, error) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"--output: {path} can't be written",
        detail=error.strerror or str(error),
        hint="name a file in a directory that is there and may be written to",
    )
