"""Loads avn once for many commands: a helper process forks for each, so that each is still a process of its own.

What a fork sees and says is what it would have seen and said if it had been started; where that is not sure, or the
helper can't be had, commands are started plainly. A request that the helper may have taken is never repeated.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

HELPER = Path(__file__).with_name("preload_helper.py")

OFF = "CCR_AVN_NO_PRELOAD"
"""Any text in this variable turns it off."""

LOADING = 10.0
"""Seconds that avn may take to load; then commands are started plainly."""

GRACE = 5.0
"""Seconds in which the helper must have ended a fork when told to; else it is frozen, and is ended itself."""

LONGEST = 100_000
"""Bytes of a request; with more than that a command is started plainly."""

SHEBANG = re.compile(r"#!(/\S+)[ \t]*(\S+)?[ \t]*\n")
LONG_SHEBANG = re.compile(r"#!/bin/sh\n'''exec' (\"/[^\"\n]+\"|/\S+) (\S+ )?\"\$0\" \"\$@\"\n' '''\n")
"""As pip writes it where the path of the interpreter is long, or has a space in it."""

ENTRY = re.compile(r"^from (aiven\.client\.(?:__main__|cli)) import main$", re.MULTILINE)
IMPORT = re.compile(r"^\s*(?:import|from)\s.*$", re.MULTILINE)

DIFFERENT = ("PYTHONINSPECT", "PYTHONMALLOCSTATS", "PYTHONDUMPREFS", "_ARGCOMPLETE")
"""With one of these set, a process says or does at its end what a fork does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A console script of an installed avn: the interpreter that runs it, with its options, and where `main` comes from."""

    interpreter: tuple[str, ...]
    module: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended. ``code``: negative for the signal that ended it."""

    code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    expired: bool = False


def script_at(path: str) -> Script | None:
    """What the program at ``path`` is, if it is avn's plain console script and nothing else."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(4096)
    except (OSError, ValueError):
        return None
    shebang, entry = LONG_SHEBANG.match(text) or SHEBANG.match(text), ENTRY.search(text)
    imports = {line.strip() for line in IMPORT.findall(text)}
    if not shebang or not entry or imports - {"import re", "import sys", entry[0]} or len(text) == 4096:
        return None
    if "sys.exit(main())" not in text or shebang[1] in ("/usr/bin/env", "/bin/sh"):
        return None
    option = (shebang[2].strip(),) if shebang[2] else ()
    return Script(interpreter=(shebang[1].strip('"'), *option), module=entry[1])


def possible() -> bool:
    """Whether a fork can be trusted here: elsewhere the system's own libraries do not survive it."""
    return sys.platform == "linux" and HELPER.exists() and not any(os.environ.get(name) for name in DIFFERENT)


class Preloaded:
    """The helper of one avn. It begins to load when this is made; many threads may run commands side by side."""

    def __init__(self, avn: str, script: Script, environment: Mapping[str, str]) -> None:
        """``environment``: what a command has in its own besides ours.

        Raises:
            OSError: it can't be started.
        """
        self._avn, self._environment = avn, {**os.environ, **environment}
        self._place, self._installed = _here(), _state(avn)
        self._lock = threading.Lock()
        self._ready = False
        self.lost = False  # from now on commands are started plainly
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(LOADING)
        with ExitStack() as stack, theirs:
            stack.callback(self._control.close)
            self._helper = subprocess.Popen(
                (*script.interpreter, str(HELPER), str(theirs.fileno()), script.module, avn),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in a terminal is not for it
                pass_fds=(theirs.fileno(),),
            )
            stack.pop_all()

    @property
    def pid(self) -> int:
        return self._helper.pid

    def run(
        self, argv: tuple[str, ...], environment: Mapping[str, str], *, deadline: float, nice: int = 0
    ) -> Ended | None:
        """One command, to its end. None: the helper has not taken it, so it is to be started plainly."""
        payload = b"\0".join([str(deadline).encode(), *(os.fsencode(word) for word in argv)])
        if not self._fits(argv[0], environment) or len(payload) > LONGEST or not self._wait_ready():
            return None
        with ExitStack() as stack:
            try:
                request = Request(stack)
            except OSError:  # too many files are open: a plain start says so
                return None
            try:
                if not request.send(self._control, payload):
                    self.lost = True
                    return None
                ended = request.collect(deadline, nice)
                if request.frozen:
                    self.end()
                self.lost = self.lost or request.lost
            except BaseException:
                if not request.abandon():
                    self.end()
                raise
        return ended

    def close(self) -> None:
        """It ends when its forks have ended, which is soon, but not waited for."""
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._helper.wait(1.0)

    def end(self) -> None:
        """At once: commands that it has accepted but not started are never started."""
        self.lost = True
        self._helper.kill()
        self._helper.wait()

    def _fits(self, program: str, more: Mapping[str, str]) -> bool:
        """Whether a fork would be what a plain start would be now: what avn reads while it loads is the same."""
        return (
            not self.lost
            and program == self._avn
            and {**os.environ, **more} == self._environment
            and _here() == self._place
            and _state(self._avn) == self._installed
        )

    def _wait_ready(self) -> bool:
        with self._lock:
            if not self._ready and not self.lost:
                self._ready = self._has_loaded()
                if not self._ready:
                    self.end()
            return self._ready and not self.lost

    def _has_loaded(self) -> bool:
        """Whether it did, silently: output of avn's loading would be missing from every answer."""
        assert self._helper.stdout is not None  # noqa: S101 (asked for in the constructor)
        with self._helper.stdout as said:
            try:
                if self._control.recv(16) != b"ready":
                    return False
            except OSError:
                return False
            os.set_blocking(said.fileno(), False)
            return not said.read(1)


class Request:
    """One command at the helper: the pipes that it writes to, and a connection that reports its PID and its end."""

    def __init__(self, stack: ExitStack) -> None:
        """Raises:
        OSError: too many files are open.
        """
        self._theirs: list[int] = []
        stack.callback(self._close_theirs)
        self._heard: dict[int, bytearray] = {}
        for _ in ("stdout", "stderr"):
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            self._theirs.append(writing)
            self._heard[reading] = bytearray()
        self._wire, wire = socket.socketpair()
        stack.callback(self._wire.close)
        self._theirs.append(wire.detach())
        self._wires = {self._wire.fileno()}
        self._heard[self._wire.fileno()] = bytearray()
        self._stdout, self._stderr, self._told = self._heard.values()
        self._poll = select.poll()
        self._open = set(self._heard)
        for number in self._open:
            self._poll.register(number, select.POLLIN)
        self._sent = False
        self._nice = 0  # until it was given that
        self.frozen = False  # the helper no longer does what it is told
        self.lost = False  # it ended before the command did

    def send(self, control: socket.socket, payload: bytes) -> bool:
        """Whether it was sent: a message goes as a whole or not at all."""
        try:
            self._sent = True  # from here on it may have been, if a signal comes
            socket.send_fds(control, [payload], self._theirs)
        except OSError:
            self._sent = False
        self._close_theirs()
        return self._sent

    def collect(self, deadline: float, nice: int) -> Ended | None:
        """Wait until it has ended; end it after ``deadline`` seconds. None: it certainly was not started."""
        self._nice = nice
        expired = not self._listen(time.monotonic() + deadline)
        if expired and not self.abandon():
            self.frozen = True
        code = self._number(b"s")
        if code is None and self._told.startswith(b"n"):
            return None
        if code is None:  # as if it had been killed: it may have acted
            self.lost = True
            self._kill()
            code = -signal.SIGKILL
        return Ended(code=code, stdout=bytes(self._stdout), stderr=bytes(self._stderr), expired=expired)

    def abandon(self) -> bool:
        """Have it killed; whether it has ended."""
        if not self._sent:
            return True
        with suppress(OSError):
            self._wire.sendall(b"k")
        ended = self._listen(time.monotonic() + GRACE)
        if not ended:
            self._kill()
        return ended

    def _listen(self, until: float) -> bool:
        """Whether all was said before that time."""
        while self._open:
            left = until - time.monotonic()
            heard = self._poll.poll(max(left, 0.0) * 1000)
            if not heard and left <= 0:
                return False
            for number, _ in heard:
                said = os.read(number, 1 << 16)
                self._heard[number] += said
                if self._nice and self._told.endswith(b"\n"):
                    give_way(self._number(b"p") or 0, self._nice)
                    self._nice = 0
                if not said:
                    self._open.discard(number)
                    self._poll.unregister(number)
            if not self._open & self._wires and self._number(b"s") is None:
                break  # nobody will tell how it ends
        return True

    def _kill(self) -> None:
        """Without the helper. While its pipes are open it is there, and its number is its own."""
        pid = self._number(b"p")
        if pid and self._open:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    def _number(self, word: bytes) -> int | None:
        found = [line[1:] for line in bytes(self._told).split(b"\n") if line.startswith(word)]
        return int(found[0]) if found else None

    def _close_theirs(self) -> None:
        while self._theirs:
            os.close(self._theirs.pop())


def give_way(pid: int, nice: int) -> None:
    """This process, and what it starts, gives the processor to others; one that has ended needs nothing."""
    if pid and nice:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, nice)


def _state(avn: str) -> tuple[int, ...]:
    """Changes when avn is reinstalled."""
    try:
        seen = Path(avn).stat()
    except OSError:
        return ()
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


def _here() -> str:
    """Where this process is; nowhere if that was deleted."""
    try:
        return str(Path.cwd())
    except OSError:
        return ""
