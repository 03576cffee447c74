"""The worker processes of a comparison: what each does, and how they are started, monitored and ended."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ccr_avn.errors import CcrError, Unreachable
from ccr_avn.valkey.compare.first_pass import FirstPass
from ccr_avn.valkey.compare.model import CompareRequest, Difference, Pair, Traits, escaped
from ccr_avn.valkey.compare.protocol import RateLimit, Wire
from ccr_avn.valkey.compare.recheck import Recheck, Suspect, SuspectFile
from ccr_avn.valkey.compare.scan import BATCH, Batch, Scan, SharedCursor, Unit
from ccr_avn.valkey.compare.small_values import Seen

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess


STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """In bytes, of this program alone: on Linux getrusage also counts what the process was before it was started."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


REPORT_EVERY = 0.2
"""Seconds between two reports of progress."""

NAMED = 3
"""Keys in flight that are reported by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    request: CompareRequest
    units: tuple[Unit, ...]
    traits: Traits
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was done since the last report."""

    keys: int
    replica_keys: int
    suspects: int  # all of this process
    phase: Literal["scan", "round"]


@dataclass(frozen=True, slots=True)
class Found:
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The final report of a process."""

    reread: int
    in_flight: int
    in_flight_keys: tuple[str, ...]
    hindrance: str | None
    seen: Seen
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    error: "CcrError"


Report = Moved | Found | Ended | Failed


class Worker:
    """``wait`` sleeps for that many seconds; ``report`` takes the reports."""

    def __init__(self, task: Task, report: Callable[[Report], None], wait: Callable[[float], None]) -> None:
        self._task = task
        self._report = report
        self._wait = wait
        self._seen = Seen()
        self._moved = Moved(keys=0, replica_keys=0, suspects=0, phase="scan")
        self._reported = time.monotonic()

    def run(self, cursor: SharedCursor) -> None:
        """Raises: Unreachable."""
        request = self._task.request
        rate_limit = RateLimit(request.max_operations / self._task.jobs)
        pair = Pair(Wire(request.primary, rate_limit), Wire(request.replica), self._task.traits)
        recheck = Recheck(pair, request.level, self._seen, closer_seconds=max(2.0, 5 * request.round_interval))
        try:
            suspects = self._first_pass(pair, cursor, rate_limit.batch(BATCH))
            reread = suspects.count
            for number in range(request.rounds if reread else 0):
                self._told(suspects=suspects.count, phase="round", now=True)
                if number and suspects.count:
                    self._wait(request.round_interval)
                suspects = recheck.round(suspects)
        finally:
            pair.close()
        in_flight, names = self._tell(suspects)
        self._report(
            Ended(
                reread=reread,
                in_flight=in_flight,
                in_flight_keys=names,
                hindrance=recheck.hindrance,
                seen=self._seen,
                peak_memory_bytes=peak_memory(),
            )
        )

    def _first_pass(self, pair: Pair, cursor: SharedCursor, batch: int) -> SuspectFile:
        request = self._task.request
        suspects = SuspectFile()
        first_pass = FirstPass(pair, request.level, self._seen)
        scan = Scan(units=self._task.units, match=request.match, batch=batch)

        def wire_of(unit: Unit) -> Wire:
            first_pass.use(unit.database)
            return pair.primary if unit.on_primary else pair.replica

        sampled = request.sample is not None
        batches = scan.sample(wire_of, request.sample or 0) if sampled else scan.batches(wire_of, cursor)
        for some in batches:
            _look(first_pass, some)
            self._keep(first_pass, suspects, some)
        first_pass.finish()
        self._keep(first_pass, suspects, None)
        return suspects

    def _keep(self, first_pass: FirstPass, suspects: SuspectFile, batch: Batch | None) -> None:
        for database, key in first_pass.take():
            suspects.add(Suspect(database, key))
        done = len(batch.keys) if batch else 0
        on_primary = bool(batch and batch.unit.on_primary)
        self._moved = replace(
            self._moved,
            keys=self._moved.keys + (done if on_primary else 0),
            replica_keys=self._moved.replica_keys + (0 if on_primary else done),
        )
        self._told(suspects=suspects.count, phase="scan", now=batch is None)

    def _told(self, *, suspects: int, phase: Literal["scan", "round"], now: bool) -> None:
        if now or time.monotonic() - self._reported > REPORT_EVERY:
            self._report(replace(self._moved, suspects=suspects, phase=phase))
            self._moved = replace(self._moved, keys=0, replica_keys=0)
            self._reported = time.monotonic()

    def _tell(self, suspects: SuspectFile) -> tuple[int, tuple[str, ...]]:
        """Report what is proven; give how many are not, and the names of some."""
        in_flight = 0
        names: list[str] = []
        with suspects:
            for group in suspects.groups(BATCH):
                proven = tuple(
                    Difference(kind=one.proven, database=one.database, key=escaped(one.key))
                    for one in group
                    if one.proven
                )
                if proven:
                    self._report(Found(proven))
                others = [one for one in group if not one.proven]
                in_flight += len(others)
                names += [escaped(one.key) for one in others[: NAMED - len(names)]]
        return in_flight, tuple(names)


def _look(first_pass: FirstPass, batch: Batch) -> None:
    first_pass.use(batch.unit.database)
    if batch.unit.on_primary:
        first_pass.primary_keys(batch.keys)
    else:
        first_pass.replica_keys(batch.keys)


LISTEN = 0.25
"""Seconds without a report after which ``tick`` is called all the same."""

END_LIMIT = 2.0
"""Seconds an ended process gets to be gone."""


def alone(task: Task, told: Callable[[int, Report], None]) -> None:
    """All of it in this process.

    Raises:
        Unreachable: a side stopped answering.
    """
    with _pipe() as cursor:
        Worker(task, lambda report: told(0, report), time.sleep).run(cursor)


def together(task: Task, told: Callable[[int, Report], None], tick: Callable[[], None]) -> None:
    """``task.jobs`` processes. What they need, the password too, goes through a pipe, never through argv.

    Raises:
        Unreachable: a side stopped answering, or a process died.
    """
    with _processes(task) as members:
        listening = dict(members)
        while listening:
            for ready in wait(list(listening), timeout=LISTEN):
                number = listening[ready]  # type: ignore[index]  # wait() gives back what it was given
                report = _heard(ready, number)
                if isinstance(report, Failed):
                    raise report.error
                told(number, report)
                if isinstance(report, Ended):
                    del listening[ready]  # type: ignore[arg-type]  # as above
            tick()


@contextmanager
def _processes(task: Task) -> "Iterator[dict[Connection[Any, Any], int]]":
    context = multiprocessing.get_context("spawn")  # a fork would copy the caller's threads half-way
    resource_tracker.ensure_running()  # else the first start() does that, and lets interrupts through again
    processes: list[SpawnProcess] = []
    members: dict[Connection[Any, Any], int] = {}
    reading, writing = context.Pipe(duplex=False)
    SharedCursor(reading.fileno(), writing.fileno()).give(0, 0)
    try:
        for number in range(task.jobs):
            mine, theirs = context.Pipe()
            process = context.Process(target=_member, args=(task, theirs, reading, writing), daemon=True)
            with _deaf_to_interrupts():
                process.start()
            theirs.close()
            processes.append(process)
            members[mine] = number
        yield members
    finally:
        for process in processes:
            process.kill()  # they hold nothing that needs tidying: their files have no names
        for process in processes:
            process.join(END_LIMIT)
            process.close()
        for end in (reading, writing, *members):
            end.close()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A Ctrl-C in a terminal reaches the children too; it is this process that ends them, quietly."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _member(
    task: Task,
    line: "Connection[Any, Any]",
    reading: "Connection[Any, Any]",
    writing: "Connection[Any, Any]",
) -> None:
    """The child: its share of the work, and a final report in any case."""

    def wait_here(seconds: float) -> None:
        line.poll(seconds)  # ends early when the parent is gone: the next report then fails

    worker = Worker(task, line.send, wait_here)
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody listens any more
        try:
            worker.run(SharedCursor(reading.fileno(), writing.fileno()))
        except CcrError as error:
            line.send(Failed(error))


def _heard(line: Any, number: int) -> Report:
    try:
        report: Report = line.recv()
    except (EOFError, ConnectionResetError):
        raise Unreachable(
            f"process {number + 1} of the comparison died",
            hint="check whether the machine ran out of memory; run it again with a smaller --jobs",
            passing=False,
        ) from None
    return report


@contextmanager
def _pipe() -> Iterator[SharedCursor]:
    reading, writing = os.pipe()
    cursor = SharedCursor(reading, writing)
    cursor.give(0, 0)
    try:
        yield cursor
    finally:
        os.close(reading)
        os.close(writing)
