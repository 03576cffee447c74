"""Writes the journal of a run: its events as JSON lines, each with the hash of the one before."""

import fcntl
import getpass
import hashlib
import json
import os
import platform
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ccr_avn import __version__, clock
from ccr_avn.errors import Interrupted, UsageError
from ccr_avn.output import console
from ccr_avn.plan import events
from ccr_avn.redact import redacted, redacted_in

FSYNCED = (
    events.RunStarted,
    events.Asked,
    events.ChangeStarted,
    events.ChangeEnded,
    events.Undone,
    events.RunEnded,
    events.PairStarted,
    events.PairEnded,
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

    try:
        return user_state_path("ccr-avn") / "runs"
    except RuntimeError:
        raise UsageError(
            "no home directory for journals: set CCR_AVN_STATE_DIR",
            detail="HOME is not set, and the system does not know this user",
            hint="export CCR_AVN_STATE_DIR=DIR",
        ) from None


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

    def __init__(self, run: str, *, where: Path | None = None) -> None:
        self.path = Path(f"{run}.jsonl")
        self._where = where
        self.head = ""
        self._file: TextIO | None = None
        self.trouble = ""
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
        if event.slug == self._waited[0] and event.at - self._waited[1] < OFTEN:
            return True
        self._waited = (event.slug, event.at)
        return False

    def _write(self, event: events.Event) -> None:
        if self._file is None:
            self.path = (self._where or directory()) / self.path
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(
                os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
            )
            with suppress(OSError):  # held as long as this process lives: no one else need guess that
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if isinstance(event, events.RunStarted):
            event = replace(event, who=_who(), host=platform.node(), ccr_avn=__version__)
        about = {"event": type(event).__name__, "previous": self.head}
        now = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
        entry = {**about, **redacted_in(asdict(event)), "time": now}
        line = json.dumps(entry, default=lambda value: redacted(str(value)))
        self.head = hashlib.sha256(line.encode()).hexdigest()
        self._file.write(line + "\n")
        self._file.flush()
        if isinstance(event, FSYNCED):
            os.fsync(self._file.fileno())


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
