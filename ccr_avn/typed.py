"""The command line as it was typed, for the journal and for hints that repeat or refer to it."""

import os
import re
import shlex
from collections.abc import Container, Iterable

from ccr_avn.redact import REDACTED

SECRET = re.compile(r"(?i)((?:passw\w*|secret|token|key)\W*[=:]\s*|bearer\s+|-(?:password|token|secret)\s+)[^\s'\"]+")
"""What the command of a hook may contain, no matter whose."""
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
COMMAND = re.compile(r"\b(?:ccr-avn|avn|pip) [a-z]")
OF_A_PROJECT = re.compile(
    r"\b(ccr-avn (?:gate )?(?!gate|runs|sandbox)[a-z-]+|avn (?:service|vpc) [a-z-]+)(?![a-z-])(?![^`;]*--project)"
)
"""A command within a sentence that has an effect in a project, and does not name it."""

_words: list[str] = []


def remember(words: Iterable[str]) -> None:
    _words[:] = words


def words() -> tuple[str, ...]:
    """All of them behind the name of the program, without secrets."""
    return tuple(SECRET.sub(rf"\1{REDACTED}", word) for word in _words)


def again(*more: str) -> str:
    """The same command with ``more``; nothing that was typed is left out, nor a project that only this shell knows."""
    known = os.environ.get("AIVEN_PROJECT")
    project = ("--project", known) if known and not _project() else ()
    return shlex.join(("ccr-avn", *words(), *project, *more))


def _project() -> str:
    given = " ".join(_words).replace("--project=", "--project ").partition("--project ")[2].split()
    return given[0] if given else ""


def in_project(text: str) -> str:
    """Every command in it is for the project that was typed, if one was."""
    project = _project()
    return OF_A_PROJECT.sub(rf"\1 --project {shlex.quote(project)}", text) if project else text


def fitting(hint: str, options: Container[str]) -> str:
    """The hint without those of its alternatives whose options the typed command does not have.

    The time limits of a gate are all called ``--timeout``.
    """
    kept = []
    for part in re.split(r"(?=; |, or )", hint):
        renamed = re.sub(r"--[a-z-]+-timeout", "--timeout", part) if "--timeout" in options else part
        if COMMAND.search(part):
            kept.append(part)
        elif all(one in options for one in OPTION.findall(renamed)):
            kept.append(renamed)
    return re.sub(r"^(; |, or )", "", "".join(kept)) or "run the same command again"


def commands_in(hint: str) -> list[list[str]]:
    """The commands that a sentence names, as words: each from its program to the end of its clause, or of its backticks."""
    found = []
    for start in re.finditer(
        r"(?<![\w./-])(?:ccr-avn [a-z]|avn (?:account|cloud|credits|project|service|user|vpc) )", hint
    ):
        rest = hint[start.start() :]
        for end in (*re.finditer(r"`|; |, | \(| && |: |$", rest),):
            try:
                words = shlex.split(rest[: end.start()].rstrip(".,;"))
            except ValueError:  # within quotes: it goes on
                continue
            found.append(words)
            break
    return [words for number, words in enumerate(found) if words not in found[:number]]
