"""Simulated time and turns: every task is a greenlet, and which of them goes on next is drawn from a seed."""

import fcntl
import heapq
import io
import os
import random
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from greenlet import greenlet

from ccr_avn import background, clock, redact, signals, typed
from ccr_avn.history import journal
from ccr_avn.output import console
from ccr_avn.valkey import endpoint

BEGAN = 1_790_000_000.0
"""What the clocks on the walls show when a history begins, in seconds since 1970."""


class Killed(BaseException):
    """Every door of a process that was killed raises it: what its ``finally`` clauses try does not happen."""


class Owner:
    """A process, or whoever else acts: with its own clock on the wall, signals, streams and globals."""

    def __init__(self, name: str, *, environ: dict[str, str] | None = None) -> None:
        self.name = name
        self.alive = True
        self.wall = 0.0  # seconds by which its clock on the wall is ahead
        self.suspended_until = 0.0
        self.boss: Owner | None = None  # who started it
        self.tasks: list[Task] = []
        self.handlers: dict[int, Any] = {}
        self.pending: list[int] = []
        self.alarm = 0  # the number of the timer that holds
        self.files: list[tuple[Path, Any]] = []  # journals that it has open, each with the file object
        self.sockets: list[Any] = []
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.globals: dict[tuple[Any, str], Any] | None = None
        if environ is not None:
            self.globals = {
                (sys, "stdout"): self.stdout,
                (sys, "stderr"): self.stderr,
                (sys, "stdin"): io.StringIO(),
                (os, "environ"): environ,
                (console, "_state"): console._State(),
                (typed, "_words"): [],
                (console, "_outlets"): {},
                (redact, "_known"): set(),
                (journal, "_NEWEST"): {},
                (endpoint, "_chosen"): {},
            }

    def at_a_door(self) -> None:
        """One of its tasks is about to wait."""


class Task(greenlet):  # type: ignore[misc]  # it comes without annotations
    def __init__(self, kernel: "Kernel", owner: Owner, work: Callable[[], Any], name: str) -> None:
        super().__init__(self._begin, kernel.hub)
        self.kernel, self.owner, self.work, self.name = kernel, owner, work, name
        self.ticket = 0  # of the wait under way: an older entry in the queue is void
        self.over = False
        self.error: BaseException | None = None
        self.watchers: list[Task] = []
        owner.tasks.append(self)
        kernel.owners.add(owner)

    def _begin(self) -> None:
        try:
            if self.owner.alive:
                self.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 (a fault of the world itself: raised by whoever runs it)
            self.error = error
        finally:
            self.over = True
            for one in self.watchers:
                self.kernel.wake(one)


class Kernel:
    """``now``: seconds since the history began. The order of what happens at the same moment is drawn."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.loaded: Owner | None = None  # whose globals are in place
        self.outside: Owner | None = None  # the test's own
        self._queue: list[tuple[float, float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.nobody = Owner("the world")
        self.owners: set[Owner] = set()  # who has a task that may not be over

    @property
    def task(self) -> Task:
        current = greenlet.getcurrent()
        assert isinstance(current, Task), "asked outside of a task"
        return current

    @property
    def owner(self) -> Owner:
        current = greenlet.getcurrent()
        return current.owner if isinstance(current, Task) else self.nobody

    @property
    def boss(self) -> Owner:
        """For whom is being worked."""
        return self.owner.boss or self.owner

    # -- what happens, and when

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(when, self.now), self.random.random(), next(self._numbers), act))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def spawn(self, owner: Owner, work: Callable[[], Any], name: str) -> Task:
        task = Task(self, owner, work, name)
        self.at(self.now, lambda: self._resume(task, 0))
        return task

    def run(self, until: float, over: Callable[[], bool] = lambda: False) -> None:
        """Everything that happens up to then, or until it is over. Raises: what broke in the world itself."""
        while self._queue and self._queue[0][0] <= until and not over():
            self.now, _, _, act = heapq.heappop(self._queue)
            act()
        if not over():
            self.now = max(self.now, until)
        self.load(self.outside)

    def _resume(self, task: Task, ticket: int) -> None:
        if task.over or task.ticket != ticket:
            return
        if self.now < task.owner.suspended_until and task.owner.alive:
            self.at(task.owner.suspended_until, lambda: self._resume(task, ticket))
            return
        self._switch(task)

    def _switch(self, task: Task) -> None:
        if task.owner.globals is not None and self.loaded is not task.owner:
            self.load(task.owner)
        task.switch()
        if task.over and task.error:
            raise task.error

    def load(self, owner: Owner | None) -> None:
        """Put a process's globals in place of another's."""
        if self.loaded is not None and self.loaded.globals is not None:
            self.loaded.globals = {key: getattr(*key) for key in self.loaded.globals}
        for (module, name), value in ((owner.globals if owner else None) or {}).items():
            setattr(module, name, value)
        self.loaded = owner

    # -- waiting

    def block(self, until: float | None = None) -> None:
        """Until the task is woken, or until that time. Raises: Killed; what a signal's handler raises."""
        task = self.task
        if not task.owner.alive:
            raise Killed
        task.owner.at_a_door()
        task.ticket += 1
        ticket = task.ticket
        if until is not None:
            self.at(until, lambda: self._resume(task, ticket))
        self.hub.switch()
        task.ticket += 1
        if not task.owner.alive:
            raise Killed
        self.deliver(task)

    def wake(self, task: Task) -> None:
        ticket = task.ticket
        self.at(self.now, lambda: self._resume(task, ticket))

    def pause(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            self.block(until)
            if self.now >= until:
                return

    def wait(self, ready: Callable[[], bool], waiting: list[Task], until: float | None) -> bool:
        """Until it is ready, by whoever wakes those who wait; whether it is."""
        while not ready():
            if until is not None and self.now >= until:
                return False
            waiting.append(self.task)
            try:
                self.block(until)
            finally:
                if self.task in waiting:
                    waiting.remove(self.task)
        return True

    # -- signals

    def signal(self, owner: Owner, number: int) -> None:
        if not owner.alive or not owner.tasks or owner.tasks[0].over:
            return
        if number == signal.SIGKILL:
            self.kill(owner)
            return
        owner.pending.append(number)
        self.wake(owner.tasks[0])

    def deliver(self, task: Task) -> None:
        while task.owner.pending and task is task.owner.tasks[0]:
            number = task.owner.pending.pop(0)
            handler = task.owner.handlers.get(number, signal.default_int_handler if number == signal.SIGINT else None)
            if handler is None:  # it ends the process, without a word
                task.owner.alive = False
                self.later(0.0, lambda: self.kill(task.owner))
                raise Killed
            if handler is not signal.SIG_IGN:
                handler(number, None)

    def close(self) -> None:
        """Nothing goes on in any task."""
        for owner in list(self.owners):
            self.kill(owner)
        self._queue.clear()

    def kill(self, owner: Owner) -> None:
        """No clause of it runs to any effect, and what it had locked is free."""
        owner.alive = False
        self.owners.discard(owner)
        kept = [(path, path.read_bytes()) for path, _ in owner.files if path.exists()]
        for task in [one for one in owner.tasks if not one.over]:
            if task.dead or not task:  # it has not begun
                task.over = True
                continue
            task.ticket += 1
            self._switch(task)
        for path, content in kept:
            path.write_bytes(content)
        for socket in owner.sockets:
            socket.close()
        for _, file in owner.files:
            file.close()


class SimClock(clock.Clock):
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def now(self) -> float:
        return BEGAN + self._kernel.now + self._kernel.owner.wall

    def monotonic(self) -> float:
        return 1000.0 + self._kernel.now

    def since_boot(self) -> float:
        return 1000.0 + self._kernel.now

    def sleep(self, seconds: float) -> None:
        self._kernel.pause(max(seconds, 0.0) + self._kernel.random.random() * 1e-4)

    def wait(self, event: Any, seconds: float) -> bool:
        return bool(event.wait(seconds))


class SimThread:
    def __init__(self, kernel: Kernel, target: Callable[[], None], name: str) -> None:
        self._kernel, self._target, self.name = kernel, target, name
        self._task: Task | None = None

    def start(self) -> None:
        self._task = self._kernel.spawn(self._kernel.owner, self._target, self.name)

    def join(self, timeout: float | None = None) -> None:
        task = self._task
        assert task is not None
        until = None if timeout is None else self._kernel.now + timeout
        self._kernel.wait(lambda: task.over, task.watchers, until)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over


class SimEvent:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._set, self._waiting = kernel, False, list[Task]()

    def set(self) -> None:
        self._set = True
        for one in self._waiting:
            self._kernel.wake(one)

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        return self._kernel.wait(
            lambda: self._set, self._waiting, None if timeout is None else self._kernel.now + timeout
        )


class SimLock:
    """A lock that its holder may take again; with ``places``, a semaphore."""

    def __init__(self, kernel: Kernel, places: int | None = None) -> None:
        self._kernel, self._places, self._waiting = kernel, places, list[Task]()
        self._holder: Any = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        me = greenlet.getcurrent()
        if self._places is None and self._holder is me:
            self._depth += 1
            return True
        free = (lambda: self._holder is None) if self._places is None else (lambda: (self._places or 0) > 0)
        until = self._kernel.now if not blocking else None if timeout is None else self._kernel.now + timeout
        if not free() and not self._kernel.wait(free, self._waiting, until):  # type: ignore[no-untyped-call]
            return False
        if self._places is None:
            self._holder, self._depth = me, 1
        else:
            self._places -= 1
        return True

    def release(self) -> None:
        if self._places is not None:
            self._places += 1
        else:
            self._depth -= 1
            if self._depth:
                return
            self._holder = None
        for one in self._waiting:
            self._kernel.wake(one)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def threads_of(kernel: Kernel) -> Any:
    """What stands in the place of the module ``threading`` in ``background.py``."""

    def current() -> Any:
        owner = kernel.owner
        return "main" if owner.tasks and greenlet.getcurrent() is owner.tasks[0] else "another"

    return SimpleNamespace(
        Thread=lambda *, target, name, daemon: SimThread(kernel, target, name),
        Event=lambda: SimEvent(kernel),
        RLock=lambda: SimLock(kernel),
        Semaphore=lambda places: SimLock(kernel, places),
        current_thread=current,
        main_thread=lambda: "main",
        Lock=threading.Lock,
    )


def signals_of(kernel: Kernel) -> Any:
    """What stands in the place of the module ``signal`` in ``signals.py``."""

    def handle(number: int, handler: Any) -> Any:
        before = kernel.owner.handlers.get(number, signal.SIG_DFL)
        kernel.owner.handlers[number] = handler
        if handler is signal.SIG_DFL:
            del kernel.owner.handlers[number]
        return before

    ends: dict[Owner, float] = {}

    def set_timer(_: int, seconds: float, again: float = 0.0) -> tuple[float, float]:
        owner = kernel.owner
        left = max(0.0, ends.pop(owner, 0.0) - kernel.now)
        owner.alarm += 1
        number = owner.alarm

        def ring() -> None:
            if owner.alarm == number:
                kernel.signal(owner, signal.SIGALRM)
                if again and owner.alive:
                    kernel.later(again, ring)

        if seconds:
            ends[owner] = kernel.now + seconds
            kernel.later(seconds, ring)
        return left, 0.0

    names = {name: getattr(signal, name) for name in dir(signal) if name.startswith("SIG")}
    return SimpleNamespace(
        **names,
        ITIMER_REAL=signal.ITIMER_REAL,
        signal=handle,
        getsignal=lambda number: kernel.owner.handlers.get(number, signal.SIG_DFL),
        setitimer=set_timer,
    )


def locks_of(kernel: Kernel) -> Any:
    """What stands in the place of ``fcntl`` in ``journal.py``: it knows whose lock it is."""

    def flock(file: Any, operation: int) -> None:
        fcntl.flock(file, operation)
        if operation & fcntl.LOCK_EX:
            kernel.owner.files.append((Path(f"/proc/self/fd/{file.fileno()}").resolve(), file))

    return SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB, LOCK_SH=fcntl.LOCK_SH)


@contextmanager
def put_in_place(kernel: Kernel, *more: tuple[Any, str, Any]) -> Iterator[None]:
    """The simulated world behind every door; afterwards all is as it was."""
    draw = kernel.random
    places: list[tuple[Any, str, Any]] = [
        (background, "threads", threads_of(kernel)),
        (signals, "signal", signals_of(kernel)),
        (journal, "fcntl", locks_of(kernel)),
        (os, "fsync", lambda _: None),
        (secrets, "token_hex", lambda size=16: f"{draw.getrandbits(8 * size):0{2 * size}x}"),
        (secrets, "token_urlsafe", lambda size=16: f"{draw.getrandbits(6 * size):x}"),
        *more,
    ]
    mine = Owner("the test", environ=dict(os.environ))
    mine.globals = {key: getattr(*key) for key in mine.globals or {}}
    kernel.loaded = kernel.outside = mine
    before = [(module, name, getattr(module, name)) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        with clock.replaced_by(SimClock(kernel)):
            yield
    finally:
        kernel.load(mine)
        for module, name, value in before:
            setattr(module, name, value)
