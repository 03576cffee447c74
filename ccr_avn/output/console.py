"""Prints results to standard output, progress and errors to standard error. Nothing is printed elsewhere.

Safely: redacted, encodable, and unaffected by a reader who has gone.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from ccr_avn import clock
from ccr_avn.errors import CcrError, Changed, as_dict, outcome_of
from ccr_avn.printable import DEGRADED, clipped, printable, printable_line
from ccr_avn.redact import redacted, redacted_in
from ccr_avn.typed import commands_in
from ccr_avn.units import iso

SCHEMA = "ccr-avn/1"
LONGEST = 4000
"""Characters of a line on standard error: a key's name can have millions."""


class OutputLost(CcrError):
    """Standard output can't be written, and nothing was done that would have to go on.

    ``gone``: its reader went away, as ``head`` does; nobody needs to know.
    """

    def __init__(self, why: str, *, gone: bool) -> None:
        super().__init__("standard output can't be written", detail=why)
        self.gone = gone


@dataclass(slots=True)
class _State:
    """How this process speaks. ``committed``: something may have been done, so losing an output changes nothing.

    ``changed``: what the exit code must show also if a signal ends us while the result is reported.
    """

    committed: bool = False
    changed: Changed = False
    json: bool = False
    warnings: tuple[str, ...] = ()
    about: Callable[[], dict[str, Any]] = dict


_state = _State()


def prepare(*, json: bool) -> None:
    """At the start of a command line. ``json``: standard output is for one JSON object."""
    _state.committed, _state.changed, _state.json, _state.warnings, _state.about = False, False, json, (), dict


def commit(changed: Changed = False) -> None:
    """From now on a failing output is reported on the other stream, and ends nothing."""
    _state.committed, _state.changed = True, _state.changed or changed


def changed() -> bool:
    """Whether a run has changed something on Aiven, or may have."""
    return bool(_state.changed)


def say(text: str) -> None:
    """A result, to standard output.

    Raises:
        OutputLost: it can't be written, and nothing was begun.
    """
    _say(emitted(text))


def hand_over(text: str) -> None:
    """A secret that was asked for, or what was cleaned before it was put into a form: to standard output, as it is.

    Raises:
        OutputLost: it can't be written.
    """
    put("stdout", text + "\n")
    must_be_open()


def must_be_open() -> None:
    """Raises:
    OutputLost: standard output can't be written.
    """
    if not put("stdout", "") and not _state.committed:
        raise OutputLost(outlet("stdout").trouble, gone=outlet("stdout").gone)


def note(text: str) -> bool:
    """Progress or a warning, to standard error. Whether it was written."""
    lines = emitted(text).split("\n")
    return put("stderr", "\n".join(clipped(line, LONGEST) for line in lines) + "\n")


def progress(text: str) -> None:
    """What goes on, to standard error; for a log each line has its time. A warning is found by its first word."""
    stamped = not outlet("stderr").isatty() and not text.startswith("warning: ")
    note(f"{iso(clock.now())} {text}" if stamped else text)


def warn(text: str) -> None:
    """What must not be missed: where standard error is lost it goes to standard output, and with the result."""
    _state.warnings += (text,)
    if not note(f"warning: {text}") and not _state.json:
        put("stdout", emitted(f"warning: {text}") + "\n")


def warnings() -> tuple[str, ...]:
    """All of them so far."""
    return _state.warnings


def troubles() -> tuple[str, ...]:
    """The outputs that were lost, each with why."""
    return tuple(f"{title}: {outlet(name).trouble}" for name, title in TITLES.items() if outlet(name).trouble)


def about(run: Callable[[], dict[str, Any]]) -> None:
    """What says which run this is: ``run``, ``journal`` and ``warnings`` of the envelope, as they are when it is printed."""
    _state.about = run


def envelope(
    command: str,
    result: Mapping[str, Any] | None,
    *,
    changed: Changed = False,
    code: int = 0,
    next_commands: Iterable[Sequence[str]] = (),
    problem: CcrError | None = None,
    with_secrets: bool = False,
) -> None:
    """The one JSON object that ``--json`` prints, whatever happened. ``code``: the exit code, if there is no problem.

    ``with_secrets``: the result is one that was asked for.
    """
    hints = [problem.hint, *problem.notes] if problem else []
    whole = {
        "schema": SCHEMA,
        "command": command,
        "ok": not (problem or code),
        "changed": bool(changed),
        "outcome": outcome_of(changed),
        "exit_code": problem.exit_code if problem else code,
        "run": None,
        "journal": None,
        "result": result,
        "error": as_dict(problem) if problem else None,
        "warnings": [*warnings(), *troubles()],
        "next": [list(words) for words in (*next_commands, *(one for hint in hints for one in commands_in(hint)))],
        **_state.about(),
    }
    text = json.dumps(whole if with_secrets else redacted_in(whole), indent=2).replace("\x7f", "\\u007f")
    (hand_over if with_secrets else _say)(text)  # JSON escapes all other control characters by itself


def error(problem: CcrError) -> None:
    """What happened, what was seen, what to type next. Printed on a stream that still works."""
    lines = [f"error: {_line(problem.what)}"]
    lines += [f"{name}: {_line(text)}" for name, text in (("detail", problem.detail), ("hint", problem.hint)) if text]
    lines += [f"note: {_line(text)}" for text in problem.notes]
    if problem.changed:
        were = "may have been" if problem.changed == "unknown" else "were"
        more = "; re-run the same command to resume" if problem.resumable else ""
        lines.append(f"note: resources on Aiven {were} changed{more}")
    text = "\n".join(lines)
    if not note(text) and not _state.json:
        put("stdout", emitted(text) + "\n")


def _say(text: str) -> None:
    lost_before = bool(outlet("stdout").trouble)
    if put("stdout", text + "\n"):
        return
    must_be_open()
    if not lost_before:
        note(f"warning: standard output can't be written ({outlet('stdout').trouble}); its content:")
    put("stderr", text + "\n")


def _line(text: str) -> str:
    return clipped(printable_line(text), LONGEST)


# -- the standard streams

Name = Literal["stdout", "stderr"]
TITLES: dict[Name, str] = {"stderr": "standard error", "stdout": "standard output"}


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
            self.stream.write(text.encode(self.encoding, DEGRADED).decode(self.encoding))
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


def emitted_line(text: str) -> str:
    """The same of what must stay one line: a name, a cell, a reason."""
    return printable_line(emitted(text))


def secure_streams() -> None:
    """Before anything else is opened: no file that we open may become standard output, and no character is an error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors=DEGRADED)  # type: ignore[union-attr]  # for what others print, as --help
