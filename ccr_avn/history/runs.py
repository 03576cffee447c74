"""Finds the journals of earlier runs, by the names of their files and their first lines."""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ccr_avn.aiven.program import default_project
from ccr_avn.errors import UsageError, near
from ccr_avn.history.journal import directory

RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LATEST = "latest"
RECENT = 50
"""Runs whose services are offered as completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a journal says of its run in its first line, which does not change any more."""

    command: str
    project: str | None
    services: tuple[str, ...]  # the primary first
    argv: tuple[str, ...]  # as typed
    evacuation: str = ""  # the run that this is a part of


_ABOUT: dict[Path, About] = {}
"""Many runs ask for all of them again and again."""


def about(path: Path) -> About | None:
    """None: its first line can't be read, or is not whole yet. No library is loaded for it: completion asks too."""
    if path not in _ABOUT:
        try:
            with path.open("rb") as file:
                line = file.readline(65_536)
            entry = json.loads(line) if line.endswith(b"\n") else {}
            facts = entry["facts"]
            services = tuple(name for key in ("primary", "replica") if isinstance(name := facts.get(key), str))
            _ABOUT[path] = About(
                command=str(entry["command"]),
                project=facts.get("project"),
                services=services,
                argv=tuple(map(str, entry.get("argv") or ())),
                evacuation=str(facts.get("evacuation") or ""),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
    return _ABOUT[path]


def paths() -> list[Path]:
    """All journals of this machine's state directory, newest first. There may be many thousands."""
    try:
        where = directory()
        names = os.listdir(where)  # noqa: PTH208 (a path for each takes ten times as long)
    except (OSError, UsageError):
        return []
    return [where / name for name in sorted(names, reverse=True) if name.endswith(".jsonl")]


def of(project: str | None, *commands: str) -> Iterator[tuple[Path, About]]:
    """The journals of a project, of these commands or of all, the newest first; no name means avn's default project."""
    default = default_project()
    for path in paths():
        found = about(path)
        if found and (found.project or default) == (project or default) and (found.command in commands or not commands):
            yield path, found


def is_running(path: Path) -> bool:
    """Whether the process that writes this journal still lives, on this machine."""
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def find(name: str) -> Path:
    """The journal of a run: its name, an unambiguous beginning of it, ``latest``, or the file itself.

    Raises:
        UsageError: there is none, or more than one.
    """
    if name.endswith(".jsonl") and Path(name).is_file():
        return Path(name)
    known = paths()
    if name == LATEST and known:
        newest = about(known[0])
        whole = known[0].with_stem(newest.evacuation) if newest and newest.evacuation else None
        return whole if whole in known else known[0]  # of an evacuation itself: its pairs' runs begin later
    found = [path for path in known if path.stem == name] or [path for path in known if path.stem.startswith(name)]
    if not name or not RUN.fullmatch(name) or not found:
        hint = f"list them{near(name, [path.stem for path in known])}: ccr-avn runs list"
        raise UsageError(f"there is no run {name!r}", detail=f"looked in {directory()}", hint=hint)
    if len(found) > 1:
        some = ", ".join(path.stem for path in found[:4]) + (", …" if len(found) > 4 else "")
        raise UsageError(f"{name!r} matches {len(found)} runs", detail=some, hint="list them: ccr-avn runs list")
    return found[0]


def recent_services(incomplete: str) -> list[str]:
    """Service names of recent runs that begin so, most recent first. For completion: only first lines are read."""
    recent = filter(None, map(about, paths()[:RECENT]))
    return list(dict.fromkeys(name for one in recent for name in one.services if name.startswith(incomplete)))
