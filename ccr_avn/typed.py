"""The command line as it was typed, for the journal and for hints that repeat it."""

import re
import shlex
from collections.abc import Iterable

from ccr_avn.redact import REDACTED

SECRET = re.compile(r"(?i)((?:passw\w*|secret|token|key)\W*[=:]\s*|bearer\s+|-(?:password|token|secret)\s+)[^\s'\"]+")
"""What the command of a hook may carry, whoever's it is."""

_words: list[str] = []


def remember(words: Iterable[str]) -> None:
    _words[:] = words


def words() -> tuple[str, ...]:
    """All of them behind the name of the program, without secrets."""
    return tuple(SECRET.sub(rf"\1{REDACTED}", word) for word in _words)


def again(*more: str) -> str:
    """The same command with ``more``; nothing that was typed is left out."""
    return shlex.join(("ccr-avn", *words(), *more))
