"""Writes the journal of a run, JSON lines each with the hash of the one before; finds those of earlier runs."""

import fcntl
import getpass
import hashlib
import json
import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ccr_avn import __version__, clock
from ccr_avn.aiven.program import default_project
from ccr_avn.errors import Interrupted, UsageError, near
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.redact import redacted, redacted_in

FSYNCED = (
    *(events.RunStarted, events.Asked, events.ChangeStarted, events.ChangeEnded, events.Undone, events.RunEnded),
    *(events.PairStarted, events.PairEnded),
)
"""What is on disk, with all before it, before the run goes on: while writes are paused every other sync is outage."""

KEPT = (*FSYNCED, events.StepStarted, events.StepDone, events.Looked, events.Missed)
OFTEN = 1.0
"""Seconds: looks that only wait are kept this often at most, as a run may make thousands."""


def directory() -> Path:
    """``$CCR_AVN_STATE_DIR/runs``, else below the platform's state directory.

    Raises:
        UsageError: neither the environment nor the system knows a home directory.
    """
    if given := os.environ.get("CCR_AVN_STATE_DIR"):
        return Path(given) / "runs"
    from platformdirs import user_state_path

    with suppress(RuntimeError):
        if (found := user_state_path("ccr-avn") / "runs").is_absolute():  # older releases of it leave a "~"
            return found
    raise UsageError(
        "no home directory for journals: set CCR_AVN_STATE_DIR",
        detail="HOME is not set, and the system does not know this user",
        hint="export CCR_AVN_STATE_DIR=DIR",
    )


NAME = re.compile(r"(\d{8}T\d{6})(\d{3})?Z-.*\.jsonl")
_NEWEST: dict[Path, int] = {}
"""Of each directory what its newest name says, in milliseconds since 1970."""


def new_run() -> str:
    """A name for the run that begins now. Names sort as runs began, also where the clock was set back in between."""
    where = Path(os.devnull)  # where there is no home there are no runs either
    with suppress(UsageError):
        where = directory()
    if where not in _NEWEST:
        _NEWEST[where] = _newest(where)
    at = _NEWEST[where] = max(int(clock.now() * 1000), _NEWEST[where] + 1)
    return f"{datetime.fromtimestamp(at // 1000, UTC):%Y%m%dT%H%M%S}{at % 1000:03}Z-{secrets.token_hex(3)}"


def _newest(where: Path) -> int:
    with suppress(OSError, ValueError):  # no directory yet; a name that is no date
        found = NAME.fullmatch(max(filter(NAME.fullmatch, os.listdir(where)), default=""))  # noqa: PTH208 (ten times as fast)
        if found:
            began = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            return int(began.timestamp()) * 1000 + int(found[2] or 0)
    return 0


class Journal:
    """A sink for events. A failed write is reported once and never stops a run. ``trouble``: why it is incomplete."""

    def __init__(self, run: str) -> None:
        self.path = Path(f"{run}.jsonl")  # from the first event on with its directory
        self.head = self.trouble = ""
        self._file: TextIO | None = None
        self._waited = ("", 0.0)

    def __call__(self, event: events.Event) -> None:
        if self.trouble or not isinstance(event, KEPT) or self._too_often(event):
            return
        try:
            self._write(event)
        except Interrupted:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is: a run is worth more than its journal)
            self._give_up(error)

    def close(self) -> None:
        if self._file:
            try:
                self._file.close()
            except OSError as error:  # what could not be written before is tried again here
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self.trouble:
            self.trouble = str(getattr(error, "strerror", None) or getattr(error, "what", type(error).__name__))
            console.warn(f"the journal can't be written ({self.trouble}: {self.path}); continuing without it")

    def _too_often(self, event: events.Event) -> bool:
        if not isinstance(event, events.Looked) or event.finding.verdict != "wait":
            return False
        slug, at = self._waited
        often = event.slug == slug and event.at - at < OFTEN
        self._waited = self._waited if often else (event.slug, event.at)
        return often

    def _write(self, event: events.Event) -> None:
        if self._file is None:
            self.path = directory() / self.path
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(new, "w", encoding="ascii")
            with suppress(OSError):  # held as long as this process lives: no one else need guess that
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if isinstance(event, events.RunStarted):
            who = str(os.getuid())
            with suppress(OSError, KeyError):  # the system does not know this user
                who = getpass.getuser()
            event = replace(event, who=who, host=platform.node(), ccr_avn=__version__)
        about = {"event": type(event).__name__, "previous": self.head}
        now = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
        entry = {**about, **redacted_in(asdict(event)), "time": now}
        line = json.dumps(entry, default=lambda value: redacted(str(value)))
        self.head = hashlib.sha256(line.encode()).hexdigest()
        self._file.write(line + "\n")
        self._file.flush()
        if isinstance(event, FSYNCED):
            os.fsync(self._file.fileno())


# -- the journals of earlier runs, by their names and first lines

RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
LATEST = "latest"
RECENT = 50
"""Runs whose services are offered as completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a journal says about its run in its first line, which never changes."""

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
    """All journals on this machine's state directory, newest first. There may be many thousands."""
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
