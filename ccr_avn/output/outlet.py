"""Writes to standard output and standard error safely: redacted, encodable, and unaffected by a closed reader."""

import os
import sys
from contextlib import suppress
from typing import Any, Literal, TextIO

from ccr_avn.printable import DEGRADED, printable
from ccr_avn.redact import redacted

Name = Literal["stdout", "stderr"]
TITLES = {"stdout": "standard output", "stderr": "standard error"}


class Outlet:
    """One of our standard streams. Writing to it never raises; ``trouble``: why nothing arrives there now.

    It has what rich asks of a file, so that a live display is as safe as a line.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.trouble = "" if stream is not None else "it is closed"
        self.gone = False  # whether its reader went away, as `head` does

    def put(self, text: str) -> bool:
        """Whether it was written. ``text`` is written as it is: see :func:`emitted`."""
        if self.stream is None or self.trouble:
            return False
        try:
            encoding = getattr(self.stream, "encoding", None) or "utf-8"
            self.stream.write(text.encode(encoding, DEGRADED).decode(encoding))
            self.stream.flush()
        except (OSError, ValueError) as error:  # ValueError: it was closed under us
            self._fail(error)
        return not self.trouble

    def write(self, text: str) -> int:
        self.put(text)
        return len(text)

    def flush(self) -> None:
        """It was flushed when it was written."""

    def isatty(self) -> bool:
        return self.stream is not None and not self.trouble and self.stream.isatty()

    @property
    def encoding(self) -> str:
        return getattr(self.stream, "encoding", None) or "utf-8"

    def fileno(self) -> int:
        if self.stream is None:
            raise OSError(9, "it is closed")
        return self.stream.fileno()

    def _fail(self, error: OSError | ValueError) -> None:
        self.trouble = getattr(error, "strerror", None) or "it is closed"
        self.gone = isinstance(error, BrokenPipeError)
        if self.stream in (sys.__stdout__, sys.__stderr__) and self.stream is not None:
            # What is left in its buffer would fail again when the interpreter ends, and change the exit code.
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.stream.fileno())
                os.close(null)


_outlets: dict[Name, Outlet] = {}


def outlet(name: Name) -> Outlet:
    """The outlet of what is that stream now: tests and a live display put others in its place."""
    stream: Any = getattr(sys, name)
    stream = getattr(stream, "rich_proxied_file", stream)  # while a live display is on
    known = _outlets.get(name)
    if known is None or known.stream is not stream:
        known = _outlets[name] = Outlet(stream)
    return known


def put(name: Name, text: str) -> bool:
    """Write to standard output or error, above the live display if there is one. Whether it was written."""
    to, proxy = outlet(name), getattr(sys, name)
    if to.trouble or not hasattr(proxy, "rich_proxied_file"):
        return to.put(text)
    proxy.write(text)
    proxy.flush()
    return not to.trouble


def emitted(text: str) -> str:
    """What may leave: no secret in it, nothing that steers a terminal."""
    return printable(redacted(text))


def prepare() -> None:
    """Before anything else is opened: no file that we open may become standard output, and no character is an error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors=DEGRADED)  # type: ignore[union-attr]  # for what others print, as --help
