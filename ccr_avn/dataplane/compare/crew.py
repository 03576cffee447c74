"""The processes that share one comparison: started, listened to, and ended at once whatever happens."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.walk import Baton
from ccr_avn.dataplane.compare.worker import Ended, Failed, Report, Task, Worker
from ccr_avn.errors import CcrError, Unreachable

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

LISTEN = 0.25
"""Seconds without a report after which ``tick`` is called all the same."""

END_LIMIT = 2.0
"""Seconds an ended process gets to be gone."""


def alone(task: Task, told: Callable[[int, Report], None]) -> None:
    """All of it in this process.

    Raises:
        Unreachable: a side stopped answering.
    """
    with _pipe() as baton:
        Worker(task, lambda report: told(0, report), time.sleep).run(baton)


def together(task: Task, told: Callable[[int, Report], None], tick: Callable[[], None]) -> None:
    """``task.jobs`` processes. What they need, the password too, goes through a pipe, never through argv.

    Raises:
        Unreachable: a side stopped answering, or a process died.
    """
    with _crew(task) as members:
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
def _crew(task: Task) -> "Iterator[dict[Connection[Any, Any], int]]":
    context = multiprocessing.get_context("spawn")  # a fork would copy the caller's threads half-way
    resource_tracker.ensure_running()  # else the first start() does that, and lets interrupts through again
    processes: list[SpawnProcess] = []
    members: dict[Connection[Any, Any], int] = {}
    reading, writing = context.Pipe(duplex=False)
    Baton(reading.fileno(), writing.fileno()).give(0, 0)
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
    """The child: its share, and one last word in any case."""

    def wait_here(seconds: float) -> None:
        line.poll(seconds)  # ends early when the parent is gone: the next report then fails

    worker = Worker(task, line.send, wait_here)
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody listens any more
        try:
            worker.run(Baton(reading.fileno(), writing.fileno()))
        except CcrError as error:
            line.send(Failed(error))


def _heard(line: Any, number: int) -> Report:
    try:
        report: Report = line.recv()
    except (EOFError, ConnectionResetError):
        raise Unreachable(
            f"process {number + 1} of the comparison died",
            hint="see whether the machine ran out of memory; run it again with a smaller --jobs",
            passing=False,
        ) from None
    return report


@contextmanager
def _pipe() -> Iterator[Baton]:
    reading, writing = os.pipe()
    baton = Baton(reading, writing)
    baton.give(0, 0)
    try:
        yield baton
    finally:
        os.close(reading)
        os.close(writing)
