"""Finds and reads the journals of earlier runs, and checks that they are intact."""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ccr_avn.aiven.program import default_project
from ccr_avn.errors import UsageError, near
from ccr_avn.history.journal import directory
from ccr_avn.redact import redacted_in

RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LATEST = "latest"
RECENT = 50
"""Runs whose services are offered as completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One journal as it can be read. ``half``: it ends in the middle of a line; ``unreadable``: line numbers."""

    path: Path
    entries: tuple[dict[str, Any], ...]
    head: str  # hash of the last line
    lines: int
    half: bool = False
    unreadable: tuple[int, ...] = ()

    @property
    def run(self) -> str:
        return str(self.first("RunStarted").get("run") or self.path.stem)

    def first(self, kind: str) -> dict[str, Any]:
        """The first entry of a kind; empty when there is none."""
        return next(iter(self.all(kind)), {})

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.entries if one.get("event") == kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What checking the chain showed. ``findings``: what is wrong; ``notes``: what can't be decided from the file alone."""

    run: str
    lines: int
    head: str
    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def paths() -> list[Path]:
    """All journals of this machine's state directory, newest first. There may be many thousands."""
    try:
        where = directory()
        names = os.listdir(where)  # noqa: PTH208 (a path for each takes ten times as long)
    except (OSError, UsageError):
        return []
    return [where / name for name in sorted(names, reverse=True) if name.endswith(".jsonl")]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a journal says of its run in its first line, which does not change any more."""

    command: str
    project: str | None
    services: tuple[str, ...]  # the primary first
    argv: tuple[str, ...] = ()  # as typed; older journals do not have it


_ABOUT: dict[Path, About] = {}
"""Many runs ask for all of them again and again."""


def about(path: Path) -> About | None:
    """None: its first line can't be read, or is not whole yet."""
    if path not in _ABOUT:
        line = _first_line(path)
        entry = _entry(line) if line.endswith(b"\n") else None
        facts = entry.get("facts") if entry else None
        if entry is None or not isinstance(facts, dict):
            return None
        services = tuple(name for key in ("primary", "replica") if isinstance(name := facts.get(key), str))
        argv = tuple(word for word in entry.get("argv") or () if isinstance(word, str))
        _ABOUT[path] = About(
            command=str(entry.get("command")), project=facts.get("project"), services=services, argv=argv
        )
    return _ABOUT[path]


def is_running(path: Path) -> bool:
    """Whether the process that writes this journal still lives, on this machine."""
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def of(project: str | None, *commands: str) -> Iterator[tuple[Path, About]]:
    """The journals of a project, of these commands or of all, the newest first; no name means avn's default project."""
    default = default_project()
    for path in paths():
        found = about(path)
        if (
            found
            and (found.project or default) == (project or default)
            and found.command in (commands or (found.command,))
        ):
            yield path, found


def find(name: str) -> Path:
    """The journal of a run: its name, an unambiguous beginning of it, ``latest``, or the file itself.

    Raises:
        UsageError: there is none, or more than one.
    """
    if name.endswith(".jsonl") and Path(name).is_file():
        return Path(name)
    known = paths()
    if name == LATEST and known:
        facts = (_entry(_first_line(known[0])) or {}).get("facts")
        whole = known[0].with_stem(str(facts.get("evacuation"))) if isinstance(facts, dict) else None
        return whole if whole in known else known[0]  # of an evacuation itself: its pairs' runs begin later
    found = [path for path in known if path.stem == name] or [path for path in known if path.stem.startswith(name)]
    if not name or not RUN.fullmatch(name) or not found:
        hint = f"list them{near(name, [path.stem for path in known])}: ccr-avn runs list"
        raise UsageError(f"there is no run {name!r}", detail=f"looked in {directory()}", hint=hint)
    if len(found) > 1:
        raise UsageError(
            f"{name!r} matches {len(found)} runs", detail=_some(found), hint="list them: ccr-avn runs list"
        )
    return found[0]


def _first_line(path: Path) -> bytes:
    """What a journal says of its run; empty where it can't be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.readline(65_536)
    return b""


def moment(value: Any) -> float | None:
    """A time as journals have it, in seconds since 1970; None: it is none."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(value).timestamp()
    return None


def read(path: Path) -> Record:
    """All that can be read of a journal; what can't is counted, never guessed.

    Raises:
        UsageError: the file can't be opened.
    """
    lines, half = _lines(path)
    parsed = [_entry(line) for line in lines]
    return Record(
        path=path,
        entries=tuple(redacted_in(one) for one in parsed if one is not None),
        head=_hash(lines[-1]) if lines else "",
        lines=len(lines),
        half=half,
        unreadable=tuple(number for number, one in enumerate(parsed, 1) if one is None),
    )


def verify(path: Path, head: str | None = None) -> Verdict:
    """Whether every line is the one that was written, in its place; with ``head`` also the last one.

    Raises:
        UsageError: the file can't be opened.
    """
    lines, half = _lines(path)
    entries = [_entry(line) for line in lines]
    last = _hash(lines[-1]) if lines else ""
    findings = [*_chain(lines, entries), *_frame(path, entries)]
    notes = []
    if half:
        findings.append(
            f"the file ends in the middle of line {len(lines)}: the run died while writing, or the file was truncated"
        )
    closed = any(_is(entry, "RunEnded") for entry in entries)
    if head:
        if last != head.lower():
            findings.append(f"the last line's hash is {last or 'missing'}, not {head}: the end was cut off or changed")
        elif not closed:
            notes.append("there is no closing line, but the last line is the one given with --head")
    elif closed:
        notes.append("the last line itself is covered by --head only: the hash printed when the run ended")
    else:
        findings.append("there is no closing line: the run died, is still running, or the end was cut off")
    return Verdict(run=path.stem, lines=len(lines), head=last, findings=tuple(findings), notes=tuple(notes))


def recent_services(incomplete: str) -> list[str]:
    """Service names of recent runs that begin so, most recent first. For completion: only first lines are read."""
    found: dict[str, None] = {}
    for told in filter(None, map(about, paths()[:RECENT])):
        found |= dict.fromkeys(name for name in told.services if name.startswith(incomplete))
    return list(found)


def _chain(lines: list[bytes], entries: list[dict[str, Any] | None]) -> list[str]:
    findings, expected = [], ""
    for number, (line, entry) in enumerate(zip(lines, entries, strict=True), 1):
        if entry is None:
            findings.append(f"line {number} can't be read: it was changed, or only half of it was written")
        elif entry.get("previous") != expected and number == 1:
            findings.append("line 1 is not the first that was written: what came before it was removed or moved")
        elif entry.get("previous") != expected:
            findings.append(
                f"line {number} does not follow line {number - 1}: one of the two was changed,"
                " or a line between them removed or moved"
            )
        expected = _hash(line)
    return findings


def _frame(path: Path, entries: list[dict[str, Any] | None]) -> list[str]:
    """What holds for every whole journal: it opens, names its run, and nothing follows its closing line."""
    if not entries:
        return ["the journal is empty"]
    findings = []
    first = entries[0]
    if first is not None and first.get("event") != "RunStarted":
        findings.append("line 1 does not open a run")
    elif first is not None and first.get("run") != path.stem:
        findings.append(f"it is the journal of {first.get('run')}, under another name")
    ends = [number for number, entry in enumerate(entries, 1) if _is(entry, "RunEnded")]
    if ends and ends[0] != len(entries):
        findings.append(f"{len(entries) - ends[0]} line(s) follow the closing line {ends[0]}")
    return findings


def _lines(path: Path) -> tuple[list[bytes], bool]:
    """The lines as bytes, and whether the last one lacks its end."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} can't be read", detail=str(error.strerror), hint="ccr-avn runs list") from None
    *lines, rest = raw.split(b"\n")
    return ([*lines, rest], True) if rest else (lines, False)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _is(entry: dict[str, Any] | None, kind: str) -> bool:
    return entry is not None and entry.get("event") == kind


def _some(found: list[Path]) -> str:
    names = [path.stem for path in found[:4]]
    return ", ".join(names) + (", …" if len(found) > 4 else "")
